//! What turns one JSON text into another: operations of JSON Patch (RFC 6902). Pure. Elements of a list are found again by a member
//! that tells them apart, so that a row that comes or goes does not change those after it.

use std::collections::{HashMap, HashSet};

use super::parts::{Member, elements, members};

/// What lies deeper is replaced as a whole: each level reads again what differs.
const MAX_DEPTH: usize = 16;
/// A list is replaced as a whole if more of its elements come between the first one that differs and the last.
const MAX_ALIGNED: usize = 10_000;
/// By so many members at most it is tried to tell the elements of a list apart.
const MAX_CANDIDATES: usize = 16;
/// About the bytes of an operation without its path and its value.
const OPERATION: usize = 36;

/// The patch, `[{"op":"replace","path":"/orders/0/name","value":"x"},…]`, that makes the second object of the first one. Only `add`,
/// `remove` and `replace` are used. Nothing if it would be as long as the second one or longer, or cannot be written.
pub(super) fn difference(before: &str, after: &str) -> Option<String> {
    let mut patch = Patch {
        out: "[".to_owned(),
        path: String::new(),
        limit: after.len(),
        over: false,
    };
    let is_described = before == after || patch.object(before, after, 0);
    patch.out.push(']');
    (is_described && !patch.over && patch.out.len() < after.len()).then_some(patch.out)
}

struct Patch {
    out: String,
    /// Where it is, escaped.
    path: String,
    limit: usize,
    /// It has become too long; the operations that follow are not written.
    over: bool,
}

impl Patch {
    fn change(&mut self, before: &str, after: &str, depth: usize) {
        if before == after || self.over {
            return;
        }
        let mark = self.out.len();
        let is_described = depth < MAX_DEPTH
            && match (before.as_bytes().first(), after.as_bytes().first()) {
                (Some(b'{'), Some(b'{')) => self.object(before, after, depth),
                (Some(b'['), Some(b'[')) => self.list(before, after, depth),
                _ => false,
            };
        let replaced = OPERATION + self.path.len() + after.len();
        if !is_described || self.over || self.out.len() - mark > replaced {
            self.out.truncate(mark);
            self.over = false;
            self.operation("replace", Some(after));
        }
    }

    /// Whether it can be described by its members.
    fn object(&mut self, before: &str, after: &str, depth: usize) -> bool {
        let (Some(before), Some(after)) = (members(before), members(after)) else {
            return false;
        };
        let (Some(old), Some(new)) = (by_name(&before), by_name(&after)) else {
            return false;
        };
        for (name, _) in before
            .iter()
            .filter(|(name, _)| !new.contains_key(name.as_ref()))
        {
            if !is_safe(name) {
                return false;
            }
            self.within(name, |patch| patch.operation("remove", None));
        }
        for (name, value) in &after {
            let known = old.get(name.as_ref());
            if known == Some(value) {
                continue;
            }
            if !is_safe(name) {
                return false;
            }
            self.within(name, |patch| match known {
                Some(known) => patch.change(known, value, depth + 1),
                None => patch.operation("add", Some(value)),
            });
        }
        true
    }

    /// Whether it can be described by its elements.
    fn list(&mut self, before: &str, after: &str, depth: usize) -> bool {
        let (Some(old), Some(new)) = (elements(before), elements(after)) else {
            return false;
        };
        let (mut old, mut new) = (old.as_slice(), new.as_slice());
        let equal = |(one, other): &(&&str, &&str)| one == other;
        let first = old.iter().zip(new).take_while(equal).count();
        (old, new) = (&old[first..], &new[first..]);
        let last = old.iter().rev().zip(new.iter().rev());
        let last = last.take_while(equal).count();
        (old, new) = (&old[..old.len() - last], &new[..new.len() - last]);
        if old.len().max(new.len()) > MAX_ALIGNED {
            return false;
        }
        let stay = aligned(old, new);
        // From the end, so that the places of the others are what they were.
        let mut staying = stay.iter().rev().peekable();
        for at in (0..old.len()).rev() {
            if staying.next_if(|(from, _)| *from == at).is_none() {
                self.at(first + at, |patch| patch.operation("remove", None));
            }
        }
        // From the beginning: all that comes before is there already.
        let mut staying = stay.iter().peekable();
        for (at, value) in new.iter().enumerate() {
            if staying.next_if(|(_, to)| *to == at).is_none() {
                self.at(first + at, |patch| patch.operation("add", Some(value)));
            }
        }
        for (from, to) in stay {
            self.at(first + to, |patch| {
                patch.change(old[from], new[to], depth + 1);
            });
        }
        true
    }

    fn within(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        if self.over {
            return;
        }
        let length = self.path.len();
        self.path.push('/');
        let pointer = name.replace('~', "~0").replace('/', "~1");
        let quoted = serde_json::Value::from(pointer).to_string();
        self.path.push_str(&quoted[1..quoted.len() - 1]);
        change(self);
        self.path.truncate(length);
    }

    fn at(&mut self, place: usize, change: impl FnOnce(&mut Self)) {
        if self.over {
            return;
        }
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&place.to_string());
        change(self);
        self.path.truncate(length);
    }

    fn operation(&mut self, kind: &str, value: Option<&str>) {
        if self.over || self.out.len() + self.path.len() > self.limit {
            self.over = true;
            return;
        }
        if self.out.len() > 1 {
            self.out.push(',');
        }
        for part in ["{\"op\":\"", kind, "\",\"path\":\"", &self.path, "\""] {
            self.out.push_str(part);
        }
        if let Some(value) = value {
            self.out.push_str(",\"value\":");
            self.out.push_str(value);
        }
        self.out.push('}');
    }
}

/// Nothing if a name occurs twice: then it depends on the reader which one counts.
fn by_name<'a>(members: &'a [Member<'_>]) -> Option<HashMap<&'a str, &'a str>> {
    let named: HashMap<&str, &str> = members
        .iter()
        .map(|(name, value)| (name.as_ref(), *value))
        .collect();
    (named.len() == members.len()).then_some(named)
}

/// npm's `fast-json-patch` refuses a path that leads through one of these.
fn is_safe(name: &str) -> bool {
    !matches!(name, "__proto__" | "prototype")
}

/// Which elements are the same ones, changed or not, in an order that both lists have.
fn aligned(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    if let Some(pairs) = by_member(old, new) {
        return pairs;
    }
    if old.len() == new.len() && old[0].starts_with('{') {
        return (0..old.len()).map(|at| (at, at)).collect();
    }
    in_order(&numbered(old), &numbered(new))
}

/// The same by the member that tells the elements apart: of those that differ in each element of a list, the one by which the most
/// elements stay, the first of several. Nothing if none does.
fn by_member(old: &[&str], new: &[&str]) -> Option<Vec<(usize, usize)>> {
    let (old, new) = (rows(old)?, rows(new)?);
    let mut best = Vec::new();
    for (at, (name, _)) in old.first()?.iter().enumerate().take(MAX_CANDIDATES) {
        let (Some(before), Some(after)) = (values(&old, at, name), values(&new, at, name)) else {
            continue;
        };
        let pairs = in_order(&before, &after);
        if pairs.len() > best.len() {
            best = pairs;
        }
        if best.len() == old.len().min(new.len()) {
            break;
        }
    }
    (!best.is_empty()).then_some(best)
}

fn rows<'a>(list: &[&'a str]) -> Option<Vec<Vec<Member<'a>>>> {
    list.iter().map(|row| members(row)).collect()
}

/// The values of a member, if it is in the same place of each row, a text or a number, and no two are equal.
fn values<'a>(rows: &[Vec<Member<'a>>], at: usize, name: &str) -> Option<Vec<&'a str>> {
    let mut seen = HashSet::with_capacity(rows.len());
    let value = |row: &Vec<Member<'a>>| {
        let (of_row, value) = row.get(at)?;
        let is_plain = matches!(value.as_bytes().first()?, b'"' | b'-' | b'0'..=b'9');
        (of_row == name && is_plain && seen.insert(*value)).then_some(*value)
    };
    rows.iter().map(value).collect()
}

/// Each element, and how many equal ones come before it.
fn numbered<'a>(list: &[&'a str]) -> Vec<(&'a str, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let number = |text: &&'a str| {
        let count = counts.entry(text).or_default();
        *count += 1;
        (*text, *count)
    };
    list.iter().map(number).collect()
}

/// The longest sequence of pairs of equal ones that ascends in both; in neither does one occur twice.
fn in_order<T: std::hash::Hash + Eq>(old: &[T], new: &[T]) -> Vec<(usize, usize)> {
    let places: HashMap<&T, usize> = old.iter().enumerate().map(|(at, one)| (one, at)).collect();
    let pairs: Vec<(usize, usize)> = new
        .iter()
        .enumerate()
        .filter_map(|(to, one)| Some((*places.get(one)?, to)))
        .collect();
    // Of the sequences of each length, where the one ends that ends the earliest, and what comes before each pair.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (at, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].0 < pair.0);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut at = ends.last().copied();
    let mut longest = Vec::with_capacity(ends.len());
    while let Some(pair) = at {
        longest.push(pairs[pair]);
        at = before[pair];
    }
    longest.reverse();
    longest
}

#[cfg(test)]
mod tests;
