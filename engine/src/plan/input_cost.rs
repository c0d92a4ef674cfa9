//! The cost of a request's filters and nested writes in the database, measured before anything is
//! planned. The values are walked where they stand, in the prepared document and in the variables,
//! and nothing is copied: the usual filter costs some tens of nanoseconds. Fields that the viewer
//! does not read from their columns cost something wherever they are selected, and count in the
//! complexity. Flags decide whether a document is walked at all: it is not if it has no filter and
//! no data, and the viewer reads every field from its column. Nor is the selection's complexity
//! counted again, unless variables set the lengths of its lists.

use super::access::Access;
use super::context::Planner;
use crate::datamodel::{FieldId, ModelId};
use crate::request::{
    InputMeasures, PreparedOperation, Selected, SelectedField, Selection, Sizes, Template,
    VALUES_PER_CONDITION, Value, Variables, WrittenFilter, is_where_or_data,
};
use crate::schema::{InputMeaning, OutputMeaning};
use crate::sql::{Filter, View};

/// What a table's row rule adds to every filter that leads to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCost {
    /// Comparisons.
    pub conditions: u64,
    /// Relations one within the other.
    pub depth: u64,
    /// Relations in all.
    pub relations: u64,
}

impl RuleCost {
    pub(super) fn of(rule: &Filter) -> Self {
        match rule {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts
                .iter()
                .map(RuleCost::of)
                .fold(RuleCost::default(), |sum, part| RuleCost {
                    conditions: sum.conditions + part.conditions,
                    depth: sum.depth.max(part.depth),
                    relations: sum.relations + part.relations,
                }),
            Filter::NotTrue(part) => RuleCost::of(part),
            // Rules are read with full access, to which every field is its column.
            Filter::Compare { .. }
            | Filter::CompareView { .. }
            | Filter::IdIn(_)
            | Filter::IdIs(_) => RuleCost {
                conditions: 1,
                ..RuleCost::default()
            },
            Filter::Related { filter, .. } => {
                let within = RuleCost::of(filter);
                RuleCost {
                    depth: within.depth + 1,
                    relations: within.relations + 1,
                    ..within
                }
            }
            Filter::Unrelated { .. } => RuleCost {
                depth: 1,
                relations: 1,
                ..RuleCost::default()
            },
        }
    }

    /// The additional cost of reading a field that the viewer does not read from its column.
    pub(super) fn of_view(view: &View) -> Self {
        let shown = RuleCost::of(&view.shown);
        let Some(own) = &view.own else { return shown };
        let owners = RuleCost::of(&own.owners);
        RuleCost {
            conditions: shown.conditions + owners.conditions,
            depth: shown.depth.max(owners.depth + 1),
            relations: shown.relations + owners.relations + 1,
        }
    }
}

impl Planner {
    /// What the filters and data of an operation come to for this viewer.
    pub fn measure_input(
        &self,
        prepared: &PreparedOperation,
        variables: &Variables,
        access: Access<'_>,
    ) -> InputMeasures {
        let sizes = Sizes {
            assumed: prepared.assumed_list_size,
            variables: Some(variables),
        };
        let fields = &prepared.operation.fields;
        let selection = prepared
            .measures
            .complexity
            .is_none()
            .then(|| sizes.complexity(fields));
        let measures = InputMeasures {
            selection,
            ..InputMeasures::default()
        };
        if !prepared.has_input && !access.has_views() {
            return measures;
        }
        let mut count = CostCounter {
            planner: self,
            sizes,
            access,
            rows: 1,
            measures,
        };
        count.fields(None, fields, 1, 1);
        count.measures
    }

    /// What a rule of the policy comes to, whatever the claims are.
    pub fn rule_cost(&self, rule: &WrittenFilter) -> RuleCost {
        let (sizes, measures) = (
            Sizes {
                assumed: 1,
                variables: None,
            },
            InputMeasures::default(),
        );
        let mut count = CostCounter {
            planner: self,
            sizes,
            access: Access::Full,
            rows: 1,
            measures,
        };
        count.filter(rule.model, GivenInput::Template(rule.template()), 0);
        let InputMeasures {
            conditions,
            depth,
            relations,
            ..
        } = count.measures;
        RuleCost {
            conditions,
            depth,
            relations,
        }
    }
}

/// A part of an argument.
#[derive(Clone, Copy)]
enum GivenInput<'a> {
    Template(&'a Template),
    Value(&'a Value),
    /// A variable that has no value yet.
    Unknown,
}

type Entries<'a, T> = &'a [(InputMeaning, T)];

struct CostCounter<'a> {
    planner: &'a Planner,
    /// Without variables for a rule, which is measured before it has values.
    sizes: Sizes<'a>,
    access: Access<'a>,
    /// How many rows the current filter or field is for.
    rows: u64,
    measures: InputMeasures,
}

impl<'a> CostCounter<'a> {
    fn fields(
        &mut self,
        parent: Option<ModelId>,
        fields: &'a [SelectedField],
        rows: u64,
        page: u64,
    ) {
        for field in fields {
            if self
                .sizes
                .variables
                .is_none_or(|variables| field.inclusion.holds(variables))
            {
                self.field(parent, field, rows, page);
            }
        }
    }

    /// `rows`: how many objects the field is selected on; `page`: the size of the enclosing
    /// connection.
    fn field(&mut self, parent: Option<ModelId>, field: &'a SelectedField, rows: u64, page: u64) {
        let Selected::Field(meaning) = field.meaning else {
            return;
        };
        let model = match meaning {
            OutputMeaning::FindMany(model)
            | OutputMeaning::FindOne(model)
            | OutputMeaning::Connection(model)
            | OutputMeaning::Create(model)
            | OutputMeaning::Update(model)
            | OutputMeaning::Upsert(model)
            | OutputMeaning::Delete(model)
            | OutputMeaning::UpdateMany(model)
            | OutputMeaning::DeleteMany(model)
            | OutputMeaning::Subscribe(model) => Some(model),
            OutputMeaning::ToOne(field) | OutputMeaning::ToMany(field) => {
                parent.and_then(|parent| self.target(parent, field))
            }
            _ => parent,
        };
        let (items, page) = self.sizes.of(field, meaning, page);
        let rows = rows.saturating_mul(items);
        if let (OutputMeaning::Column(column), Some(parent)) = (meaning, parent)
            && let Some(cost) = self.access.view_cost(parent, column)
        {
            let RuleCost {
                conditions,
                relations,
                ..
            } = cost;
            self.rows = rows;
            self.complexity(conditions.saturating_add(relations));
        }
        if let Some(model) = model {
            // A connection's rows are its page's.
            self.rows = rows.saturating_mul(page);
            for (argument, template) in &field.arguments {
                if *argument == InputMeaning::Where {
                    self.found(model, GivenInput::Template(template), 0);
                } else if is_where_or_data(*argument) {
                    self.filter(model, GivenInput::Template(template), 0);
                }
            }
        }
        match &field.selection {
            Selection::Leaf => {}
            Selection::Object { fields, .. } => self.fields(model, fields, rows, page),
            Selection::Node(models) => {
                models
                    .iter()
                    .for_each(|(model, _, fields)| self.fields(Some(*model), fields, rows, page));
            }
        }
    }

    /// An input object, or a list of them: a filter, or data in which filters may be.
    fn filter(&mut self, model: ModelId, given: GivenInput<'a>, depth: u64) {
        self.items(given).for_each(|item| {
            self.entries(item)
                .for_each(|(meaning, value)| self.part(model, meaning, value, depth));
        });
    }

    fn part(&mut self, model: ModelId, meaning: InputMeaning, value: GivenInput<'a>, depth: u64) {
        let Some(value) = self.open(value) else {
            return;
        };
        match meaning {
            InputMeaning::Compare(..)
            | InputMeaning::MutationIn
            | InputMeaning::UpdatedFieldsContains
            | InputMeaning::UpdatedFieldsContainsEvery
            | InputMeaning::UpdatedFieldsContainsSome => {
                let mut values = 0;
                for item in self.items(value) {
                    values += 1;
                    self.measures.bytes += self.bytes(item);
                }
                self.conditions(1 + (values / VALUES_PER_CONDITION) as u64);
                if let InputMeaning::Compare(field, _) = meaning {
                    self.view(model, field, depth);
                }
            }
            InputMeaning::And | InputMeaning::Or | InputMeaning::Not => {
                let mut said = false;
                for item in self.items(value) {
                    said = true;
                    if self.entries(item).next().is_none() {
                        self.conditions(1);
                    }
                    self.filter(model, item, depth);
                }
                if !said {
                    self.conditions(1);
                }
            }
            InputMeaning::RelatedIs(field)
            | InputMeaning::RelatedEvery(field)
            | InputMeaning::RelatedSome(field)
            | InputMeaning::RelatedNone(field) => {
                let Some(target) = self.target(model, field) else {
                    return;
                };
                let rule = self.access.rule_cost(target);
                self.conditions(rule.conditions);
                self.relations(1 + rule.relations);
                self.measures.depth = self.measures.depth.max(depth + 1 + rule.depth);
                self.filter(target, value, depth + 1);
            }
            InputMeaning::Relation(field) => {
                if let Some(target) = self.target(model, field) {
                    self.nested_writes(value);
                    self.filter(target, value, depth);
                }
            }
            InputMeaning::Where
            | InputMeaning::Connect
            | InputMeaning::Set
            | InputMeaning::Disconnect
            | InputMeaning::Delete => self.found(model, value, depth),
            // Of nested writes, and of a subscription.
            InputMeaning::Data
            | InputMeaning::Create
            | InputMeaning::Update
            | InputMeaning::Upsert
            | InputMeaning::UpdateMany
            | InputMeaning::DeleteMany
            | InputMeaning::EventNode => self.filter(model, value, depth),
            // Values that are written.
            _ => {}
        }
    }

    /// What finds rows: a filter, or the unique value of one row, which costs nothing: an index
    /// finds it. But where the viewer does not read it from its column, the field's rule is
    /// evaluated as well, and there is no index of an owner's own value.
    fn found(&mut self, model: ModelId, given: GivenInput<'a>, depth: u64) {
        self.items(given).for_each(|item| {
            self.entries(item)
                .for_each(|(meaning, value)| match (meaning, self.open(value)) {
                    (InputMeaning::Value(_), None | Some(GivenInput::Value(Value::Null))) => {}
                    (InputMeaning::Value(field), Some(_)) => {
                        self.measures.selectors |= self.access.view_cost(model, field).is_some();
                        self.view(model, field, depth);
                    }
                    _ => self.part(model, meaning, value, depth),
                });
        });
    }

    /// What comparing a field costs that the viewer does not read from its column.
    fn view(&mut self, model: ModelId, field: FieldId, depth: u64) {
        if let Some(cost) = self.access.view_cost(model, field) {
            self.conditions(cost.conditions);
            self.relations(cost.relations);
            self.measures.depth = self.measures.depth.max(depth + cost.depth);
        }
    }

    /// Each item of `create`, `connect`, `updateMany` and so on has statements of its own.
    fn nested_writes(&mut self, writes: GivenInput<'a>) {
        let items = self
            .entries(writes)
            .map(|(_, items)| self.items(items).count() as u64)
            .sum();
        self.measures.nested_writes = self.measures.nested_writes.saturating_add(items);
    }

    fn conditions(&mut self, more: u64) {
        self.measures.conditions = self.measures.conditions.saturating_add(more);
        self.complexity(more);
    }

    fn relations(&mut self, more: u64) {
        self.measures.relations = self.measures.relations.saturating_add(more);
        self.complexity(more);
    }

    fn complexity(&mut self, more: u64) {
        let more = more.saturating_mul(self.rows);
        self.measures.complexity = self.measures.complexity.saturating_add(more);
    }

    fn target(&self, model: ModelId, field: FieldId) -> Option<ModelId> {
        self.planner
            .model()
            .field(model, field)
            .relation()
            .map(|relation| relation.target)
    }

    /// With the variable's value in place; `None` where it has none.
    fn open(&self, given: GivenInput<'a>) -> Option<GivenInput<'a>> {
        match given {
            GivenInput::Template(Template::Constant(value)) => Some(GivenInput::Value(value)),
            GivenInput::Template(Template::Variable(id, _)) => match self.sizes.variables {
                Some(variables) => variables.get(*id).map(GivenInput::Value),
                None => Some(GivenInput::Unknown),
            },
            known => Some(known),
        }
    }

    fn entries(
        &self,
        given: GivenInput<'a>,
    ) -> impl Iterator<Item = (InputMeaning, GivenInput<'a>)> + use<'a> {
        let (values, templates): (Entries<'a, Value>, Entries<'a, Template>) =
            match self.open(given) {
                Some(GivenInput::Value(Value::Object(_, entries))) => (entries, &[]),
                Some(GivenInput::Template(Template::Object(_, entries))) => (&[], entries),
                _ => (&[], &[]),
            };
        let values = values
            .iter()
            .map(|(meaning, value)| (*meaning, GivenInput::Value(value)));
        values.chain(
            templates
                .iter()
                .map(|(meaning, template)| (*meaning, GivenInput::Template(template))),
        )
    }

    /// The items of a list, which may be given as a single value; of null, none.
    fn items(&self, given: GivenInput<'a>) -> impl Iterator<Item = GivenInput<'a>> + use<'a> {
        let (values, templates, single): (&'a [Value], &'a [Template], _) = match self.open(given) {
            None | Some(GivenInput::Value(Value::Null)) => (&[], &[], None),
            Some(GivenInput::Value(Value::List(items))) => (items, &[], None),
            Some(GivenInput::Template(Template::List(items))) => (&[], items, None),
            single => (&[], &[], single),
        };
        let templates = templates.iter().map(GivenInput::Template);
        values
            .iter()
            .map(GivenInput::Value)
            .chain(templates)
            .chain(single)
    }

    fn bytes(&self, given: GivenInput<'a>) -> u64 {
        match self.open(given) {
            Some(GivenInput::Value(Value::Text(text))) => text.len() as u64,
            Some(GivenInput::Value(Value::Null)) | None => 0,
            // Numbers and names of enums are short.
            Some(_) => 8,
        }
    }
}
