//! What a write along a relation must do, computed without a database: links are pairs, and the requiredness of
//! both ends decides.

use std::collections::BTreeSet;

/// What a node may have at an end of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Required,
    Optional,
    List,
}

/// Where the links are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    WithParent,
    WithChild,
    Table,
}

/// A relation between the models `P<number>` (whose field `child` is written through) and `C<number>`.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub number: usize,
    pub parent: End,
    pub child: End,
    pub stored: Stored,
}

/// Pairs of a parent's and a child's name.
pub type Links = BTreeSet<(&'static str, &'static str)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Of the new child `c3`.
    Create,
    Connect(&'static str),
    Disconnect(&'static str),
    Set(&'static [&'static str]),
    Delete(&'static str),
    Update(&'static str),
    /// Creates `c3`.
    Upsert(&'static str),
    UpdateMany(&'static str),
    DeleteMany(&'static str),
}

/// What is true afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub links: Links,
    pub changed: Option<&'static str>,
    pub gone: Option<&'static str>,
}

pub const UNKNOWN: &str = "c9";

pub fn kinds() -> Vec<Kind> {
    use End::*;
    let ends = [Required, Optional, List];
    let pairs = ends
        .into_iter()
        .flat_map(|parent| ends.map(|child| (parent, child)));
    let mut kinds = Vec::new();
    for (parent, child) in pairs {
        for stored in [Stored::WithParent, Stored::WithChild, Stored::Table] {
            // The other end of an inline link may be a list, its own may not.
            let possible = match stored {
                Stored::WithParent => parent != List,
                Stored::WithChild => child != List,
                Stored::Table => true,
            };
            if possible {
                kinds.push(Kind {
                    number: kinds.len(),
                    parent,
                    child,
                    stored,
                });
            }
        }
    }
    kinds
}

impl Kind {
    pub fn datamodel(&self) -> String {
        let field = |end: End, model: char| match end {
            End::Required => format!("{model}{}!", self.number),
            End::Optional => format!("{model}{}", self.number),
            End::List => format!("[{model}{}]", self.number),
        };
        let (at_parent, at_child) = match self.stored {
            Stored::WithParent => (" @relation(link: INLINE)", ""),
            Stored::WithChild => ("", " @relation(link: INLINE)"),
            Stored::Table => (" @relation(link: TABLE)", ""),
        };
        format!(
            "type P{0} {{ id: ID! @id u: String! @unique child: {1}{at_parent} }}
             type C{0} {{ id: ID! @id u: String! @unique n: Int parent: {2}{at_child} }}\n",
            self.number,
            field(self.parent, 'C'),
            field(self.child, 'P')
        )
    }

    /// The states to start from: `p1` and `c1` linked to each other, or each to none or to another.
    pub fn states(&self) -> Vec<Links> {
        let mut states = vec![Links::from([("p1", "c1")])];
        for parent_linked in [false, true] {
            for child_linked in [false, true] {
                let possible = (parent_linked || self.parent != End::Required)
                    && (child_linked || self.child != End::Required);
                if possible {
                    let parent = parent_linked.then_some(("p1", "c2"));
                    let child = child_linked.then_some(("p2", "c1"));
                    states.push(parent.into_iter().chain(child).collect());
                }
            }
        }
        states
    }

    /// The writes that an update of `p1` offers.
    pub fn writes_in_update(&self) -> Vec<Write> {
        use Write::*;
        let mut writes = vec![Create, Connect("c1"), Update("c1"), Upsert("c1")];
        if self.parent != End::Required {
            writes.extend([Disconnect("c1"), Delete("c1")]);
        }
        if (self.parent, self.child) != (End::Required, End::Required) {
            writes.push(Connect(UNKNOWN));
        }
        if self.parent == End::List {
            writes.extend([
                Set(&["c1"]),
                Set(&[]),
                Set(&["c1", "c1"]),
                UpdateMany("c1"),
                DeleteMany("c1"),
            ]);
            writes.extend([
                Disconnect(UNKNOWN),
                Delete(UNKNOWN),
                Update(UNKNOWN),
                Upsert(UNKNOWN),
            ]);
        }
        writes
    }

    /// What comes of a write in an update of `p1`, or the code of the error.
    pub fn after_update(&self, links: &Links, write: Write) -> Result<After, i64> {
        let mut after = After {
            links: links.clone(),
            changed: None,
            gone: None,
        };
        let single = self.parent != End::List;
        let linked = |c: &str| {
            links
                .iter()
                .find(|l| l.0 == "p1" && (single || l.1 == c))
                .map(|l| l.1)
        };
        let found = |c| match linked(c) {
            Some(c) => Ok(c),
            None if c == UNKNOWN && !single => Err(3039),
            None => Err(3041),
        };
        match write {
            Write::Create => self.tie(&mut after.links, "p1", "c3", false)?,
            Write::Connect(UNKNOWN) if self.room(links, UNKNOWN) => return Err(3039),
            Write::Connect(c) => self.tie(&mut after.links, "p1", c, false)?,
            Write::Update(c) => after.changed = Some(found(c)?),
            Write::UpdateMany(c) => after.changed = linked(c),
            Write::Upsert(c) => match linked(c) {
                Some(c) => after.changed = Some(c),
                None => self.tie(&mut after.links, "p1", "c3", false)?,
            },
            Write::Disconnect(c) => {
                let c = found(c)?;
                if self.child == End::Required {
                    return Err(3042);
                }
                after.links.remove(&("p1", c));
            }
            Write::Delete(c) => after.gone = Some(found(c)?),
            Write::DeleteMany(c) => after.gone = linked(c),
            Write::Set(children) => {
                let dropped = links
                    .iter()
                    .any(|l| l.0 == "p1" && !children.contains(&l.1));
                if dropped && self.child == End::Required {
                    return Err(3042);
                }
                after.links.retain(|l| l.0 != "p1");
                for c in children {
                    self.tie(&mut after.links, "p1", c, false)?;
                }
            }
        }
        if let Some(gone) = after.gone {
            after.links.retain(|l| l.1 != gone);
        }
        Ok(after)
    }

    /// What comes of creating `p3` with a child, or the code of the error.
    pub fn after_create(&self, links: &Links, write: Write) -> Result<After, i64> {
        let mut after = After {
            links: links.clone(),
            changed: None,
            gone: None,
        };
        match write {
            Write::Create => {
                after.links.insert(("p3", "c3"));
            }
            Write::Connect(UNKNOWN) => return Err(3039),
            Write::Connect(c) => self.tie(&mut after.links, "p3", c, true)?,
            _ => unreachable!("no other write stands in a creation"),
        }
        Ok(after)
    }

    /// Whether a parent that is updated may get this child as far as the parent's other children go.
    fn room(&self, links: &Links, child: &str) -> bool {
        let kept = (self.parent, self.child) == (End::Optional, End::Required);
        !(kept && links.iter().any(|l| l.0 == "p1" && l.1 != child))
    }

    fn tie(
        &self,
        links: &mut Links,
        parent: &'static str,
        child: &'static str,
        new: bool,
    ) -> Result<(), i64> {
        let fresh = child == "c3";
        match (self.parent, self.child) {
            (End::Required, End::Required) => return Err(3042),
            (End::Required, End::Optional)
                if !fresh && links.iter().any(|l| l.1 == child && l.0 != parent) =>
            {
                return Err(3042);
            }
            (End::Optional, End::Required) if !new && !self.room(links, child) => return Err(3042),
            _ => {}
        }
        links.retain(|l| {
            (l.0 != parent || self.parent == End::List) && (l.1 != child || self.child == End::List)
        });
        links.insert((parent, child));
        Ok(())
    }
}
