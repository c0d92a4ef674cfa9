//! Writes that reach publications, or delete customers, by another way than the operations that the shop's rules look
//! at. Users' are refused, whatever the policy permits; a policy that permits them has a problem.

use gom_engine::datamodel::{DataModel, ModelId, Side};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::policy::{PolicyProblem, PolicySource};
use gom_engine::request::Value;
use gom_engine::schema::{InputMeaning, OutputMeaning, Schema};

/// The models that rules of the shop are about.
#[derive(Debug, Clone, Copy)]
pub struct Detours {
    customer: ModelId,
    publication: ModelId,
}

impl Detours {
    pub(super) fn of(customer: ModelId, publication: ModelId) -> Self {
        Detours {
            customer,
            publication,
        }
    }

    /// Refuses an operation of a user that passes the rules; `data` are its inputs.
    pub(super) fn refuse(
        self,
        model: &DataModel,
        meaning: OutputMeaning,
        data: &[Value],
    ) -> Result<(), ApiError> {
        if self.is_detour(model, meaning) {
            return Err(ApiError::new(
                ErrorKind::Forbidden,
                "The shop's rules do not cover this operation: users may not perform it",
            ));
        }
        let (OutputMeaning::Create(top)
        | OutputMeaning::Update(top)
        | OutputMeaning::Upsert(top)
        | OutputMeaning::UpdateMany(top)) = meaning
        else {
            return Ok(());
        };
        data.iter()
            .try_for_each(|data| self.refuse_nested(model, top, data))
    }

    /// Whether a top-level field writes what a rule is about, and is none of those that the rules amend.
    fn is_detour(self, model: &DataModel, meaning: OutputMeaning) -> bool {
        match meaning {
            OutputMeaning::Upsert(of) | OutputMeaning::UpdateMany(of) => of == self.publication,
            OutputMeaning::DeleteMany(of) => self.deletes(model, of),
            OutputMeaning::Delete(of) => {
                of != self.customer && of != self.publication && self.deletes(model, of)
            }
            _ => false,
        }
    }

    /// Whether deletions of a model's rows take customers or publications along, or are of these.
    fn deletes(self, model: &DataModel, root: ModelId) -> bool {
        let mut reached = vec![root];
        let mut next = 0;
        while let Some(current) = reached.get(next).copied() {
            next += 1;
            for relation in &model.relations {
                for side in [Side::A, Side::B] {
                    let (end, other) = (relation.end(side), relation.end(side.other()));
                    if end.model == current && end.cascade && !reached.contains(&other.model) {
                        reached.push(other.model);
                    }
                }
            }
        }
        reached.contains(&self.customer) || reached.contains(&self.publication)
    }

    fn refuse_nested(self, model: &DataModel, of: ModelId, data: &Value) -> Result<(), ApiError> {
        for (field, nested) in object(data) {
            let InputMeaning::Relation(field) = field else {
                continue;
            };
            let field = model.field(of, *field);
            let Some(relation) = field.relation() else {
                continue;
            };
            let target = relation.target;
            let name = |id: ModelId| model.model(id).name.as_str();
            for (verb, given) in object(nested)
                .iter()
                .filter(|(_, given)| says_something(given))
            {
                let deletes = matches!(verb, InputMeaning::Delete | InputMeaning::DeleteMany)
                    && self.deletes(model, target);
                // A publication's promotion is looked at by the rules where it is one that exists.
                let publishes_new = of == self.publication && *verb != InputMeaning::Connect;
                if target == self.publication || deletes || publishes_new {
                    return Err(ApiError::new(
                        ErrorKind::BadUserInput,
                        format!(
                            "'{}' of '{}' may not be given: '{}' is written by operations of its own",
                            field.name,
                            name(of),
                            name(target)
                        ),
                    ));
                }
                for item in items(given) {
                    let parts: Vec<&Value> = [
                        InputMeaning::Data,
                        InputMeaning::Create,
                        InputMeaning::Update,
                    ]
                    .into_iter()
                    .filter_map(|part| item.entry(part))
                    .collect();
                    match (verb, parts.as_slice()) {
                        (InputMeaning::Create, _) | (InputMeaning::Update, []) => {
                            self.refuse_nested(model, target, item)?;
                        }
                        (_, parts) => {
                            parts
                                .iter()
                                .try_for_each(|part| self.refuse_nested(model, target, part))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a policy permits that the shop's rules do not cover; nothing if the datamodel is not the shop's.
pub fn detours(source: &PolicySource, model: &DataModel, schema: &Schema) -> Vec<PolicyProblem> {
    let (Some(customer), Some(publication)) =
        (model.model_named("Bp"), model.model_named("Publication"))
    else {
        return Vec::new();
    };
    if model.model_named("Order").is_none() || model.model_named("Promotion").is_none() {
        return Vec::new();
    }
    let detours = Detours::of(customer, publication);
    let mutations = &schema.object(schema.mutation).fields;
    let operations = source.operations.mutation.keys().filter(|name| {
        mutations
            .get(name.as_str())
            .is_some_and(|field| detours.is_detour(model, field.meaning))
    });
    let operations = operations.map(|name| PolicyProblem {
        place: format!("operations.mutation.{name}"),
        message: "the shop's rules do not cover this operation; leave it out: users' are refused"
            .into(),
    });
    let parts = source.parts.iter().filter(|(name, wholes)| {
        !wholes.is_empty()
            && model
                .model_named(name)
                .is_some_and(|part| detours.deletes(model, part))
    });
    let parts = parts.map(|(name, _)| PolicyProblem {
        place: format!("parts.{name}"),
        message:
            "the shop's rules do not cover rows that are written inside others' data; leave it out"
                .into(),
    });
    operations.chain(parts).collect()
}

fn object(value: &Value) -> &[(InputMeaning, Value)] {
    match value {
        Value::Object(_, entries) => entries,
        _ => &[],
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        single => std::slice::from_ref(single),
    }
}

/// Null, and `false` for `delete` or `disconnect`, are no wish.
fn says_something(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Boolean(false))
}
