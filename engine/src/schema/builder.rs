//! The schema while it is being made: types are named first and filled later, so that they may
//! refer to each other in circles, and only types that something refers to come into being.

use std::collections::{HashMap, VecDeque};

use indexmap::IndexMap;

use super::inputs::{self, InputKey};
use super::types::*;
use crate::datamodel::{DataModel, EnumId, Field, FieldKind, ModelId, ScalarType};

pub(super) struct Builder<'m> {
    pub datamodel: &'m DataModel,
    objects: Vec<ObjectType>,
    inputs: Vec<InputType>,
    enums: Vec<EnumType>,
    input_ids: HashMap<InputKey, InputId>,
    unfilled: VecDeque<(InputId, InputKey)>,
    data_enums: HashMap<EnumId, EnumTypeId>,
    order_bys: HashMap<ModelId, EnumTypeId>,
    mutation_type: Option<EnumTypeId>,
    clashes: Vec<String>,
}

impl<'m> Builder<'m> {
    pub(super) fn new(datamodel: &'m DataModel) -> Self {
        Builder {
            datamodel,
            objects: Vec::new(),
            inputs: Vec::new(),
            enums: Vec::new(),
            input_ids: HashMap::new(),
            unfilled: VecDeque::new(),
            data_enums: HashMap::new(),
            order_bys: HashMap::new(),
            mutation_type: None,
            clashes: Vec::new(),
        }
    }

    pub(super) fn add_object(&mut self, object: ObjectType) -> ObjectId {
        self.objects.push(object);
        ObjectId(self.objects.len() - 1)
    }

    /// Fills the object type of a model, whose place was taken at the start.
    pub(super) fn set_fields(&mut self, object: ObjectId, fields: IndexMap<String, OutputField>) {
        self.objects[object.0].fields = fields;
    }

    /// The input type for `key`, made on first use.
    pub(super) fn input(&mut self, key: InputKey) -> InputId {
        if let Some(id) = self.input_ids.get(&key) {
            return *id;
        }
        let id = InputId(self.inputs.len());
        self.inputs.push(InputType {
            name: key.name(self.datamodel),
            model: key.model(),
            fields: IndexMap::new(),
        });
        self.input_ids.insert(key, id);
        self.unfilled.push_back((id, key));
        id
    }

    pub(super) fn data_enum(&mut self, id: EnumId) -> EnumTypeId {
        if let Some(known) = self.data_enums.get(&id) {
            return *known;
        }
        let data = self.datamodel.enumeration(id);
        let made = self.add_enum(
            data.name.clone(),
            data.values.clone(),
            EnumMeaning::Data(id),
        );
        self.data_enums.insert(id, made);
        made
    }

    /// `XOrderByInput`: two values for each column, the id included.
    pub(super) fn order_by(&mut self, model: ModelId) -> EnumTypeId {
        if let Some(known) = self.order_bys.get(&model) {
            return *known;
        }
        let of = self.datamodel.model(model);
        let mut values = Vec::new();
        let mut meaning = Vec::new();
        for field in of.field_ids().filter(|f| of.field(*f).is_column()) {
            for (suffix, descends) in [("ASC", false), ("DESC", true)] {
                values.push(format!("{}_{suffix}", of.field(field).name));
                meaning.push((field, descends));
            }
        }
        let made = self.add_enum(
            format!("{}OrderByInput", of.name),
            values,
            EnumMeaning::OrderBy(meaning),
        );
        self.order_bys.insert(model, made);
        made
    }

    pub(super) fn mutation_type(&mut self) -> EnumTypeId {
        if let Some(known) = self.mutation_type {
            return known;
        }
        let values = ["CREATED", "UPDATED", "DELETED"].map(String::from).to_vec();
        let made = self.add_enum("MutationType".to_owned(), values, EnumMeaning::MutationType);
        self.mutation_type = Some(made);
        made
    }

    pub(super) fn add_enum(
        &mut self,
        name: String,
        values: Vec<String>,
        meaning: EnumMeaning,
    ) -> EnumTypeId {
        self.enums.push(EnumType {
            name,
            values,
            meaning,
        });
        EnumTypeId(self.enums.len() - 1)
    }

    /// The type of one value of a scalar or enum field; `None` for a relation.
    pub(super) fn value_type(&mut self, field: &Field) -> Option<TypeRef> {
        match field.kind {
            FieldKind::Scalar(scalar) => Some(data(scalar)),
            FieldKind::Enum(id) => Some(TypeRef::Enum(self.data_enum(id))),
            FieldKind::Relation(_) => None,
        }
    }

    /// Puts a root field into its object; two of one name are a clash.
    pub(super) fn add_root_field(
        &mut self,
        fields: &mut IndexMap<String, OutputField>,
        name: String,
        field: OutputField,
    ) {
        if fields.contains_key(&name) {
            self.clashes.push(format!(
                "two models would both give the API the root field \"{name}\"; rename one of them in the datamodel"
            ));
        }
        fields.insert(name, field);
    }

    /// Fills the input types that are still empty, and those that they refer to in turn.
    pub(super) fn fill_inputs(&mut self) {
        while let Some((id, key)) = self.unfilled.pop_front() {
            let fields = inputs::fields(self, key);
            self.inputs[id.0].fields = fields;
        }
    }

    pub(super) fn finish(mut self, roots: [ObjectId; 3], models: Vec<ModelTypes>) -> Schema {
        self.find_type_clashes();
        let [query, mutation, subscription] = roots;
        Schema {
            objects: self.objects,
            inputs: self.inputs,
            enums: self.enums,
            query,
            mutation,
            subscription,
            models,
            clashes: self.clashes,
        }
    }

    fn find_type_clashes(&mut self) {
        let mut seen: HashMap<&str, ()> = Scalar::ALL.iter().map(|s| (s.name(), ())).collect();
        seen.insert(NODE, ());
        let names = (self.objects.iter().map(|o| &o.name))
            .chain(self.inputs.iter().map(|i| &i.name))
            .chain(self.enums.iter().map(|e| &e.name));
        for name in names {
            if seen.insert(name, ()).is_some() {
                self.clashes.push(format!(
                    "the API would have two types called \"{name}\"; rename the type, enum or field of the datamodel \
                     that it comes from"
                ));
            }
        }
    }
}

pub(super) fn data(scalar: ScalarType) -> TypeRef {
    TypeRef::Scalar(Scalar::Data(scalar))
}

/// An argument or input field without a description.
pub(super) fn plain(ty: TypeRef, meaning: InputMeaning) -> InputField {
    InputField {
        description: None,
        ty,
        meaning,
    }
}

pub(super) fn described(
    description: &'static str,
    ty: TypeRef,
    meaning: InputMeaning,
) -> InputField {
    InputField {
        description: Some(description),
        ty,
        meaning,
    }
}
