//! What the policy permits in the data of a viewer's write: fields, and nested writes of other
//! models' rows.

use super::Writer;
use super::links::Parent;
use crate::datamodel::ModelId;
use crate::error::ApiError;
use crate::plan::context::entries;
use crate::request::Value;
use crate::schema::InputMeaning;
use crate::sql::LinkAt;

impl Writer<'_> {
    /// Refuses data that names fields which the viewer may not.
    pub(super) fn check_data(&self, model: ModelId, data: &Value) -> Result<(), ApiError> {
        for (meaning, _) in entries(data) {
            if let InputMeaning::Value(field)
            | InputMeaning::ListValue(field)
            | InputMeaning::Relation(field) = meaning
            {
                self.access.check_field(self.planner, model, *field)?;
            }
        }
        Ok(())
    }

    /// Refuses to write rows inside the data of others, where the policy does not make them parts.
    pub(super) fn check_nested(&self, kind: InputMeaning, parent: &Parent) -> Result<(), ApiError> {
        let target = parent.relation.target;
        match kind {
            InputMeaning::Connect | InputMeaning::Set | InputMeaning::Disconnect => {
                match self.planner.physical().link(parent.relation) {
                    LinkAt::Partner(_) => self.access.check_link_in(self.planner, target, self.top),
                    LinkAt::Own(_) | LinkAt::Table { .. } => Ok(()),
                }
            }
            _ => self.access.check_part(self.planner, target, self.top),
        }
    }
}
