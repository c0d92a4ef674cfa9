//! Which mutations may queue jobs or change followed tables, so that the triggers record the
//! writer.

use super::context::{Planner, entries};
use super::filter::unexpected;
use crate::datamodel::ModelId;
use crate::error::ApiError;
use crate::request::Value;
use crate::schema::{InputMeaning, OutputMeaning};

impl Planner {
    /// Whether a mutation may change a row of a watched model: its own, or those that its data or a
    /// deletion reach.
    pub(super) fn may_leave_a_job(&self, meaning: OutputMeaning, inputs: &[Value]) -> bool {
        let only_columns = inputs.iter().all(|data| {
            let relation = |m: &InputMeaning| matches!(m, InputMeaning::Relation(_));
            !entries(data).iter().any(|(meaning, _)| relation(meaning))
        });
        let stays = !matches!(
            meaning,
            OutputMeaning::Delete(_) | OutputMeaning::DeleteMany(_)
        );
        if only_columns && stays {
            return Self::written_model(meaning)
                .is_ok_and(|model| self.is_watched(model) || self.is_followed(model));
        }
        self.records_writer(meaning)
    }

    /// Whether a mutation field may leave a job: a watched model can be reached from its own, by
    /// whatever relations.
    pub fn watches(&self, meaning: OutputMeaning) -> bool {
        let Ok(root) = Self::written_model(meaning) else {
            return false;
        };
        let model = self.model();
        let mut reached = vec![root];
        let mut next = 0;
        while let Some(current) = reached.get(next).copied() {
            if self.is_watched(current) {
                return true;
            }
            next += 1;
            let fields = model.model(current).fields.iter();
            for target in fields.filter_map(|field| Some(field.relation()?.target)) {
                if !reached.contains(&target) {
                    reached.push(target);
                }
            }
        }
        false
    }

    fn is_watched(&self, model: ModelId) -> bool {
        self.model()
            .watched
            .iter()
            .any(|watched| watched.model == model)
    }

    fn is_followed(&self, model: ModelId) -> bool {
        self.model()
            .followed
            .iter()
            .any(|one| one.models.contains(&model))
    }

    /// Whether the triggers of a mutation field's rows record the writer.
    fn records_writer(&self, meaning: OutputMeaning) -> bool {
        self.watches(meaning)
            || Self::written_model(meaning).is_ok_and(|model| self.is_followed(model))
    }

    /// The model that a top-level field of a mutation writes.
    pub(super) fn written_model(meaning: OutputMeaning) -> Result<ModelId, ApiError> {
        match meaning {
            OutputMeaning::Create(model)
            | OutputMeaning::Update(model)
            | OutputMeaning::Upsert(model)
            | OutputMeaning::Delete(model)
            | OutputMeaning::UpdateMany(model)
            | OutputMeaning::DeleteMany(model) => Ok(model),
            _ => Err(unexpected("mutation field")),
        }
    }
}
