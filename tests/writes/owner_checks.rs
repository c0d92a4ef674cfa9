//! What the database's owner forbids, by triggers and constraints of their own, reaches the client in the owner's words.

use serde_json::{Value, json};

use crate::serve;
use gom_test_support::app::Answer;

const DATAMODEL: &str = "type Item { id: ID! @id name: String amount: Int }";

const OWN: &str = r#"
    alter table "default$default"."Item" add constraint "amount is positive" check (amount > 0);
    create function "default$default".refuse() returns trigger language plpgsql as $$
    begin
      if new.name = 'raised' then raise exception 'No % today: %', new.name, repeat('ñ', new.amount); end if;
      if new.name = 'other' then raise exception 'a secret' using errcode = 'P0002'; end if;
      if new.name = 'broken' then perform 1 / 0; end if;
      return new;
    end $$;
    create trigger refuse before insert or update on "default$default"."Item"
      for each row execute function "default$default".refuse();
    create function "default$default".refuse_at_commit() returns trigger language plpgsql as $$
    begin
      if new.name = 'late' then raise exception 'Refused at the commit'; end if;
      return null;
    end $$;
    create constraint trigger at_commit after insert on "default$default"."Item"
      deferrable initially deferred for each row execute function "default$default".refuse_at_commit();
"#;

fn code_and_message(answer: &Answer) -> (&str, &str) {
    (answer.code(), answer.message())
}

#[actix_web::test]
async fn only_the_owners_exceptions_and_checks_reach_the_client() {
    let app = serve(DATAMODEL).await;
    app.database()
        .connect()
        .await
        .batch_execute(OWN)
        .await
        .unwrap();
    let create = async |name: &str, amount: i32| {
        let data = format!("{{ name: \"{name}\", amount: {amount} }}");
        app.ask(&format!(
            "mutation {{ createItem(data: {data}) {{ name }} }}"
        ))
        .await
    };

    let checked = create("x", 0).await;
    let expected = "new row for relation \"Item\" violates check constraint \"amount is positive\"";
    assert_eq!(code_and_message(&checked), ("CHECK_VIOLATION", expected));
    assert_eq!(
        code_and_message(&create("raised", 2).await),
        ("RAISE_EXCEPTION", "No raised today: ññ")
    );
    assert_eq!(
        code_and_message(&create("late", 1).await),
        ("RAISE_EXCEPTION", "Refused at the commit")
    );
    let long = create("raised", 5_000).await;
    assert!(
        (1_000..=1_024).contains(&long.message().len()),
        "{}",
        long.message().len()
    );
    for name in ["other", "broken"] {
        let hidden = create(name, 1).await;
        let words = "Whoops. Looks like an internal server error.";
        assert_eq!(hidden.code(), "INTERNAL_SERVER_ERROR", "{name}");
        assert!(
            hidden.message().starts_with(words),
            "{name}: {}",
            hidden.message()
        );
    }

    // An update, nested or not, and an upsert are refused alike; nothing of the mutation stays.
    assert_eq!(
        create("kept", 1).await.body["data"]["createItem"],
        json!({ "name": "kept" })
    );
    let both = "mutation { a: createItem(data: {name: \"first\", amount: 1}) { name } \
                b: updateManyItems(where: {name: \"kept\"}, data: {amount: -1}) { count } }";
    assert_eq!(app.ask(both).await.code(), "CHECK_VIOLATION");
    let amounts = app
        .ask("{ items(where: {name: \"kept\"}) { amount } }")
        .await
        .body;
    assert_eq!(
        amounts["data"]["items"],
        json!([{ "amount": 1 }]),
        "{amounts}"
    );
    let names: Value = app
        .ask("{ items(where: {name_in: [\"late\", \"raised\", \"x\"]}) { name } }")
        .await
        .body;
    assert_eq!(names["data"]["items"], json!([]));
}
