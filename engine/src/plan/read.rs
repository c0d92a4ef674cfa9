//! Root fields of a query become statements, one each; selections become the shape of their JSON.

use std::sync::Arc;

use super::access::Access;
use super::context::{PageLimits, Planner};
use super::filter::unexpected;
use crate::datamodel::ModelId;
use crate::error::{ApiError, ErrorKind};
use crate::request::{OperationKind, Selected, SelectedField, Selection, Value, Variables};
use crate::schema::{EnumMeaning, InputMeaning, OutputMeaning};
use crate::sql::{
    self, ConnectionPage, Filter, PageField, PageInfoField, Rows, Shape, ShapeEntry, Statement,
};

/// Plans what one caller reads in one request.
pub(crate) struct ReadPlanner<'a> {
    pub planner: &'a Planner,
    pub variables: &'a Variables,
    pub limits: PageLimits,
    pub access: Access<'a>,
    /// The rows are previous versions: fields that depend on current rows are hidden.
    pub of_previous_rows: bool,
}

impl Planner {
    /// The statement that answers a root field of a query.
    ///
    /// # Errors
    /// What the arguments make impossible: 3014, 3026–3028, 3033, 3040, 3045, or a page beyond the
    /// limits; and what the viewer may not read.
    pub fn query(
        &self,
        field: &SelectedField,
        variables: &Variables,
        limits: PageLimits,
        access: Access<'_>,
    ) -> Result<Statement, ApiError> {
        access.check_operation(OperationKind::Query, &field.name)?;
        ReadPlanner {
            planner: self,
            variables,
            limits,
            access,
            of_previous_rows: false,
        }
        .root(field)
    }
}

impl Planner {
    /// The SQL that `executeRaw` was given.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if there is none, which
    /// validation excludes.
    pub fn raw_query(
        &self,
        field: &SelectedField,
        variables: &Variables,
    ) -> Result<String, ApiError> {
        let query = self.argument(field, InputMeaning::RawQuery, variables);
        query
            .and_then(|v| self.scalar_text(&v))
            .ok_or_else(|| unexpected("raw query"))
    }
}

impl<'a> ReadPlanner<'a> {
    fn root(&self, field: &'a SelectedField) -> Result<Statement, ApiError> {
        let physical = self.planner.physical();
        let Selected::Field(meaning) = field.meaning else {
            return Err(unexpected("root field"));
        };
        match meaning {
            OutputMeaning::FindMany(model) => {
                let rows = self.rows(model, field)?;
                Ok(sql::find_many(
                    physical,
                    &rows,
                    &self.shape_of(model, &field.selection)?,
                ))
            }
            OutputMeaning::FindOne(model) => {
                let given = self
                    .planner
                    .argument(field, InputMeaning::Where, self.variables);
                let unique =
                    self.planner
                        .unique(model, &given.unwrap_or(Value::Null), self.access)?;
                let filter = unique.filter().and(self.access.visible(model));
                Ok(sql::find_one(
                    physical,
                    &filter,
                    &self.shape_of(model, &field.selection)?,
                ))
            }
            OutputMeaning::Connection(model) => {
                let rows = self.rows(model, field)?;
                Ok(sql::connection(
                    physical,
                    model,
                    &rows,
                    &self.page(model, &field.selection)?,
                ))
            }
            OutputMeaning::Node => {
                let id = self
                    .planner
                    .argument(field, InputMeaning::NodeId, self.variables);
                let id = id
                    .and_then(|v| self.planner.scalar_text(&v))
                    .unwrap_or_default();
                let Selection::Node(models) = &field.selection else {
                    return Err(unexpected("node selection"));
                };
                let shapes: Vec<_> = models
                    .iter()
                    .map(|(m, name, fields)| {
                        // An id that the viewer may not name finds nothing.
                        let named = self.access.names(*m, self.planner.model().model(*m).id);
                        let visible = if named {
                            self.access.visible(*m)
                        } else {
                            Filter::FALSE
                        };
                        Ok((visible, self.shape(*m, name, fields)?))
                    })
                    .collect::<Result<_, ApiError>>()?;
                Ok(sql::find_node(physical, &id, &shapes))
            }
            _ => Err(unexpected("query field")),
        }
    }

    pub(crate) fn shape_of(
        &self,
        model: ModelId,
        selection: &'a Selection,
    ) -> Result<Shape<'a>, ApiError> {
        match selection {
            Selection::Object { type_name, fields } => self.shape(model, type_name, fields),
            _ => Err(unexpected("selection")),
        }
    }

    pub(crate) fn shape(
        &self,
        model: ModelId,
        type_name: &'a str,
        fields: &'a [SelectedField],
    ) -> Result<Shape<'a>, ApiError> {
        let mut entries = Vec::with_capacity(fields.len());
        for field in self.included(fields) {
            let entry = match field.meaning {
                Selected::Typename => ShapeEntry::Typename(type_name),
                Selected::Field(OutputMeaning::Column(id)) => {
                    self.access.check_field(self.planner, model, id)?;
                    match self.access.view(model, id) {
                        None => ShapeEntry::Column(id),
                        Some(view) if self.of_previous_rows && view.is_related() => {
                            ShapeEntry::Hidden
                        }
                        Some(view) => ShapeEntry::Viewed(id, Arc::clone(view)),
                    }
                }
                Selected::Field(OutputMeaning::ScalarList(id)) => {
                    self.access.check_field(self.planner, model, id)?;
                    ShapeEntry::ScalarList(id)
                }
                Selected::Field(OutputMeaning::ToOne(id)) => {
                    let target = self.planner.target(model, id, self.access)?;
                    let shape = self.shape_of(target, &field.selection)?;
                    ShapeEntry::ToOne(id, self.access.visible(target), shape)
                }
                Selected::Field(OutputMeaning::ToMany(id)) => {
                    let target = self.planner.target(model, id, self.access)?;
                    ShapeEntry::ToMany(
                        id,
                        self.rows(target, field)?,
                        self.shape_of(target, &field.selection)?,
                    )
                }
                _ => return Err(unexpected("field")),
            };
            entries.push((field.key.as_str(), entry));
        }
        Ok(Shape {
            model,
            answer: self.limits.answer(),
            entries,
        })
    }

    pub(crate) fn included(
        &self,
        fields: &'a [SelectedField],
    ) -> impl Iterator<Item = &'a SelectedField> {
        fields.iter().filter(|f| f.inclusion.holds(self.variables))
    }

    fn rows(&self, model: ModelId, field: &SelectedField) -> Result<Rows, ApiError> {
        let visible = self.access.visible(model);
        if field.arguments.is_empty() {
            return Ok(Rows {
                filter: visible.clone(),
                visible,
                order: None,
                after: None,
                before: None,
                skip: None,
                first: None,
                last: None,
                cap: self.limits.page_size,
            });
        }
        let argument = |meaning| self.planner.argument(field, meaning, self.variables);
        let text = |meaning| argument(meaning).and_then(|v| self.planner.scalar_text(&v));
        let count = |meaning, name: &str, code| match argument(meaning) {
            Some(Value::Int(n)) if n < 0 => Err(ApiError::numbered(
                code,
                format!("The '{name}' argument must be non negative"),
            )),
            Some(Value::Int(n)) => Ok(Some(n)),
            _ => Ok(None),
        };
        let filter =
            self.planner
                .filter(model, argument(InputMeaning::Where).as_ref(), self.access)?;
        let filter = filter.and(visible.clone());
        let order = match argument(InputMeaning::OrderBy) {
            Some(Value::Enum(id, position)) => match &self.planner.schema.enumeration(id).meaning {
                EnumMeaning::OrderBy(fields) => fields.get(position).copied(),
                _ => return Err(unexpected("order")),
            },
            _ => None,
        };
        if let Some((field, _)) = order {
            self.access.check_field(self.planner, model, field)?;
            // The order of rows would reveal the hidden values.
            self.access.check_plain(self.planner, model, field)?;
        }
        let skip = count(InputMeaning::Skip, "skip", 3028)?;
        let first = count(InputMeaning::First, "first", 3026)?;
        let last = count(InputMeaning::Last, "last", 3027)?;
        if first.is_some() && last.is_some() {
            return Err(ApiError::numbered(
                3014,
                "Including a value for both first and last is not supported. Ask for one end of the list only.",
            ));
        }
        if let (Some(asked), Some(limit)) = (first.or(last), self.limits.page_size)
            && asked > limit
        {
            return Err(ApiError::new(
                ErrorKind::LimitExceeded,
                format!(
                    "A page of {asked} rows was asked for; the limit is {limit} ({}.page_size)",
                    self.limits.section
                ),
            ));
        }
        let (after, before) = (text(InputMeaning::After), text(InputMeaning::Before));
        if after.is_some() || before.is_some() {
            self.check_cursor(model)?;
        }
        Ok(Rows {
            filter,
            visible,
            order,
            after,
            before,
            skip,
            first,
            last,
            cap: self.limits.page_size,
        })
    }

    fn page(
        &self,
        model: ModelId,
        selection: &'a Selection,
    ) -> Result<ConnectionPage<'a>, ApiError> {
        let mut fields = Vec::new();
        let (type_name, selected) = object(selection)?;
        for field in self.included(selected) {
            let part = match field.meaning {
                Selected::Typename => PageField::Typename(type_name),
                Selected::Field(OutputMeaning::PageInfo) => {
                    PageField::PageInfo(self.page_info(model, &field.selection)?)
                }
                Selected::Field(OutputMeaning::Edges) => {
                    PageField::Edges(self.edges(model, &field.selection)?)
                }
                Selected::Field(OutputMeaning::Aggregate) => {
                    PageField::Aggregate(self.aggregate(&field.selection)?)
                }
                _ => return Err(unexpected("connection field")),
            };
            fields.push((field.key.as_str(), part));
        }
        Ok(ConnectionPage {
            answer: self.limits.answer(),
            fields,
        })
    }

    /// Cursors are ids: viewers who may not name the id get none.
    fn check_cursor(&self, model: ModelId) -> Result<(), ApiError> {
        self.access
            .check_field(self.planner, model, self.planner.model().model(model).id)
    }

    fn page_info(
        &self,
        model: ModelId,
        selection: &'a Selection,
    ) -> Result<Vec<(&'a str, PageInfoField<'a>)>, ApiError> {
        let (type_name, fields) = object(selection)?;
        self.included(fields)
            .map(|field| {
                let info = match field.meaning {
                    Selected::Typename => PageInfoField::Typename(type_name),
                    Selected::Field(OutputMeaning::HasNextPage) => PageInfoField::HasNextPage,
                    Selected::Field(OutputMeaning::HasPreviousPage) => {
                        PageInfoField::HasPreviousPage
                    }
                    Selected::Field(OutputMeaning::StartCursor) => {
                        self.check_cursor(model)?;
                        PageInfoField::StartCursor
                    }
                    Selected::Field(OutputMeaning::EndCursor) => {
                        self.check_cursor(model)?;
                        PageInfoField::EndCursor
                    }
                    _ => return Err(unexpected("page field")),
                };
                Ok((field.key.as_str(), info))
            })
            .collect()
    }

    fn edges(
        &self,
        model: ModelId,
        selection: &'a Selection,
    ) -> Result<Vec<(&'a str, sql::EdgeField<'a>)>, ApiError> {
        let (type_name, fields) = object(selection)?;
        self.included(fields)
            .map(|field| {
                let edge = match field.meaning {
                    Selected::Typename => sql::EdgeField::Typename(type_name),
                    Selected::Field(OutputMeaning::EdgeCursor) => {
                        self.check_cursor(model)?;
                        sql::EdgeField::Cursor
                    }
                    Selected::Field(OutputMeaning::EdgeNode) => {
                        let (name, fields) = object(&field.selection)?;
                        let model = self.planner.model().model_named(name);
                        sql::EdgeField::Node(self.shape(
                            model.ok_or_else(|| unexpected("edge"))?,
                            name,
                            fields,
                        )?)
                    }
                    _ => return Err(unexpected("edge field")),
                };
                Ok((field.key.as_str(), edge))
            })
            .collect()
    }

    pub(crate) fn aggregate(
        &self,
        selection: &'a Selection,
    ) -> Result<Vec<(&'a str, sql::AggregateField<'a>)>, ApiError> {
        let (type_name, fields) = object(selection)?;
        self.included(fields)
            .map(|field| {
                let value = match field.meaning {
                    Selected::Typename => sql::AggregateField::Typename(type_name),
                    Selected::Field(OutputMeaning::Count) => sql::AggregateField::Count,
                    _ => return Err(unexpected("aggregate field")),
                };
                Ok((field.key.as_str(), value))
            })
            .collect()
    }
}

pub(crate) fn object(selection: &Selection) -> Result<(&str, &[SelectedField]), ApiError> {
    match selection {
        Selection::Object { type_name, fields } => Ok((type_name, fields)),
        _ => Err(unexpected("selection")),
    }
}
