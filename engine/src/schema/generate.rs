//! The three root types, and with them everything that they lead to.

use indexmap::IndexMap;

use super::builder::{Builder, data, described, plain};
use super::inputs::{InputKey, has_create, has_update, has_update_many};
use super::names::{capitalized, plural, uncapitalized};
use super::objects::{self, OutputFields, output};
use super::types::*;
use crate::datamodel::{DataModel, ModelId, ScalarType};

/// What of the API is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Offers `executeRaw`, which runs any SQL that it is given: for operators' tools only.
    pub execute_raw: bool,
}

/// The schema that Prisma 1 generates for `datamodel`. The order of everything in it is part of the
/// contract.
pub fn generate(datamodel: &DataModel, options: SchemaOptions) -> Schema {
    let mut builder = Builder::new(datamodel);
    let models = objects::reserve(&mut builder);
    for model in datamodel.model_ids() {
        objects::fill(&mut builder, &models, model);
    }
    let query = query(&mut builder, &models);
    let mutation = mutation(&mut builder, &models, options);
    let subscription = subscription(&mut builder, &models);
    let roots = [
        ("Query", query),
        ("Mutation", mutation),
        ("Subscription", subscription),
    ]
    .map(|(name, fields)| {
        builder.add_object(ObjectType {
            name: name.to_owned(),
            description: None,
            implements_node: false,
            model: None,
            fields,
        })
    });
    builder.fill_inputs();
    builder.finish(roots, models)
}

fn query(builder: &mut Builder, models: &[ModelTypes]) -> OutputFields {
    let datamodel = builder.datamodel;
    let mut fields = OutputFields::new();
    for model in datamodel.model_ids() {
        let of = models[model.0];
        let rows = TypeRef::List(Box::new(TypeRef::Object(of.object))).required();
        let list = OutputField {
            args: objects::list_args(of),
            ..output(rows, OutputMeaning::FindMany(model))
        };
        builder.add_root_field(&mut fields, list_name(datamodel, model), list);
    }
    for model in datamodel.model_ids() {
        let args = IndexMap::from([unique_arg(builder, model)]);
        let row = TypeRef::Object(models[model.0].object);
        let single = OutputField {
            args,
            ..output(row, OutputMeaning::FindOne(model))
        };
        builder.add_root_field(
            &mut fields,
            uncapitalized(&datamodel.model(model).name),
            single,
        );
    }
    let page_info = objects::page_info(builder);
    for model in datamodel.model_ids() {
        let of = models[model.0];
        let page = objects::connection(builder, datamodel.model(model), of.object, page_info);
        let ty = TypeRef::Object(page).required();
        let connection = OutputField {
            args: objects::list_args(of),
            ..output(ty, OutputMeaning::Connection(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("{}Connection", list_name(datamodel, model)),
            connection,
        );
    }
    let id = described(
        "The ID of an object",
        data(ScalarType::Id).required(),
        InputMeaning::NodeId,
    );
    let node = OutputField {
        description: Some("Fetches an object given its ID"),
        args: IndexMap::from([("id".to_owned(), id)]),
        ..output(TypeRef::Node, OutputMeaning::Node)
    };
    builder.add_root_field(&mut fields, "node".to_owned(), node);
    fields
}

/// All models' creates, then all updates, and so on. A mutation that would have nothing to write is
/// left out, but a create, which then takes no argument.
fn mutation(builder: &mut Builder, models: &[ModelTypes], options: SchemaOptions) -> OutputFields {
    let datamodel = builder.datamodel;
    let row = |model: ModelId| TypeRef::Object(models[model.0].object);
    let mut fields = OutputFields::new();
    for model in datamodel.model_ids() {
        let mut args = IndexMap::new();
        if has_create(datamodel, model, None) {
            args.extend([create_arg(builder, "data", model, InputMeaning::Data)]);
        }
        let create = OutputField {
            args,
            ..output(row(model).required(), OutputMeaning::Create(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("create{}", capital(datamodel, model)),
            create,
        );
    }
    for model in datamodel
        .model_ids()
        .filter(|m| has_update(datamodel, *m, None))
    {
        let data = update_arg(builder, "data", model, InputMeaning::Data);
        let args = IndexMap::from([data, unique_arg(builder, model)]);
        let update = OutputField {
            args,
            ..output(row(model), OutputMeaning::Update(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("update{}", capital(datamodel, model)),
            update,
        );
    }
    for model in datamodel.model_ids() {
        let args = IndexMap::from([unique_arg(builder, model)]);
        let delete = OutputField {
            args,
            ..output(row(model), OutputMeaning::Delete(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("delete{}", capital(datamodel, model)),
            delete,
        );
    }
    let upsertable =
        |m: &ModelId| has_update(datamodel, *m, None) && has_create(datamodel, *m, None);
    for model in datamodel.model_ids().filter(upsertable) {
        let args = IndexMap::from([
            unique_arg(builder, model),
            create_arg(builder, "create", model, InputMeaning::Create),
            update_arg(builder, "update", model, InputMeaning::Update),
        ]);
        let upsert = OutputField {
            args,
            ..output(row(model).required(), OutputMeaning::Upsert(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("upsert{}", capital(datamodel, model)),
            upsert,
        );
    }
    let batch = TypeRef::Object(objects::batch_payload(builder)).required();
    let filter = |model: ModelId| {
        (
            "where".to_owned(),
            plain(
                TypeRef::Input(models[model.0].where_input),
                InputMeaning::Where,
            ),
        )
    };
    for model in datamodel
        .model_ids()
        .filter(|m| has_update_many(datamodel, *m))
    {
        let data = TypeRef::Input(builder.input(InputKey::UpdateManyMutation(model))).required();
        let args = IndexMap::from([
            ("data".to_owned(), plain(data, InputMeaning::Data)),
            filter(model),
        ]);
        let update = OutputField {
            args,
            ..output(batch.clone(), OutputMeaning::UpdateMany(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("updateMany{}", capital_plural(datamodel, model)),
            update,
        );
    }
    for model in datamodel.model_ids() {
        let args = IndexMap::from([filter(model)]);
        let delete = OutputField {
            args,
            ..output(batch.clone(), OutputMeaning::DeleteMany(model))
        };
        builder.add_root_field(
            &mut fields,
            format!("deleteMany{}", capital_plural(datamodel, model)),
            delete,
        );
    }
    if options.execute_raw {
        let values = vec!["default".to_owned()];
        let database = TypeRef::Enum(builder.add_enum(
            "PrismaDatabase".to_owned(),
            values,
            EnumMeaning::Database,
        ));
        let query = data(ScalarType::String).required();
        let args = IndexMap::from([
            (
                "database".to_owned(),
                plain(database, InputMeaning::RawDatabase),
            ),
            ("query".to_owned(), plain(query, InputMeaning::RawQuery)),
        ]);
        let raw = OutputField {
            args,
            ..output(data(ScalarType::Json).required(), OutputMeaning::ExecuteRaw)
        };
        builder.add_root_field(&mut fields, "executeRaw".to_owned(), raw);
    }
    fields
}

fn subscription(builder: &mut Builder, models: &[ModelTypes]) -> OutputFields {
    let datamodel = builder.datamodel;
    let mut fields = OutputFields::new();
    for model in datamodel.model_ids() {
        let filter = TypeRef::Input(builder.input(InputKey::SubscriptionWhere(model)));
        let args = IndexMap::from([("where".to_owned(), plain(filter, InputMeaning::Where))]);
        let payload = objects::subscription_payload(builder, model, models[model.0].object);
        let subscribe = OutputField {
            args,
            ..output(TypeRef::Object(payload), OutputMeaning::Subscribe(model))
        };
        builder.add_root_field(
            &mut fields,
            uncapitalized(&datamodel.model(model).name),
            subscribe,
        );
    }
    fields
}

fn capital(datamodel: &DataModel, model: ModelId) -> String {
    capitalized(&datamodel.model(model).name)
}

fn capital_plural(datamodel: &DataModel, model: ModelId) -> String {
    capitalized(&plural(&datamodel.model(model).name))
}

fn list_name(datamodel: &DataModel, model: ModelId) -> String {
    uncapitalized(&plural(&datamodel.model(model).name))
}

fn unique_arg(builder: &mut Builder, model: ModelId) -> (String, InputField) {
    let ty = TypeRef::Input(builder.input(InputKey::WhereUnique(model))).required();
    ("where".to_owned(), plain(ty, InputMeaning::Where))
}

fn create_arg(
    builder: &mut Builder,
    name: &str,
    model: ModelId,
    meaning: InputMeaning,
) -> (String, InputField) {
    let ty = TypeRef::Input(builder.input(InputKey::Create {
        model,
        without: None,
    }))
    .required();
    (name.to_owned(), plain(ty, meaning))
}

fn update_arg(
    builder: &mut Builder,
    name: &str,
    model: ModelId,
    meaning: InputMeaning,
) -> (String, InputField) {
    let ty = TypeRef::Input(builder.input(InputKey::Update(model))).required();
    (name.to_owned(), plain(ty, meaning))
}
