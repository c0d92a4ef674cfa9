//! The datamodel before, and the changes.

/// Before each change.
pub const BASE: &str = "
enum Stage { OPEN WON LOST }
type User {
  id: ID! @id
  name: String!
  orders: [Order!] @relation(name: \"UserOrders\")
}
type Order {
  id: ID! @id
  code: String! @unique
  title: String
  memo: String
  stage: Stage
  amount: Int
  price: Float
  tags: [String!] @scalarList(strategy: RELATION)
  user: User @relation(name: \"UserOrders\", link: INLINE)
}
type Note {
  id: ID! @id
  text: String
}
type Spare {
  id: ID! @id
}
";

pub struct Case {
    pub change: &'static str,
    /// What is replaced, once each.
    pub edits: &'static [(&'static str, &'static str)],
    pub arguments: &'static [&'static str],
}

const fn case(change: &'static str, edits: &'static [(&'static str, &'static str)]) -> Case {
    Case {
        change,
        edits,
        arguments: &[],
    }
}

const fn renamed(
    change: &'static str,
    edits: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
) -> Case {
    Case {
        change,
        edits,
        arguments,
    }
}

pub const CASES: &[Case] = &[
    case(
        "an optional field is added",
        &[("memo: String", "memo: String\n  more: String")],
    ),
    case(
        "a required field with a default is added",
        &[(
            "memo: String",
            "memo: String\n  more: Int! @default(value: 1)",
        )],
    ),
    case(
        "a required field without a default is added",
        &[("memo: String", "memo: String\n  more: Int!")],
    ),
    case(
        "a scalar list is added",
        &[(
            "memo: String",
            "memo: String\n  marks: [Int!] @scalarList(strategy: RELATION)",
        )],
    ),
    case(
        "a model and an optional relation to it are added",
        &[
            (
                "memo: String",
                "memo: String\n  shop: Shop @relation(name: \"ShopOrders\", link: INLINE)",
            ),
            (
                "type Note",
                "type Shop {\n  id: ID! @id\n  orders: [Order!] @relation(name: \"ShopOrders\")\n}\ntype Note",
            ),
        ],
    ),
    case(
        "a required relation to a new model is added",
        &[
            (
                "memo: String",
                "memo: String\n  shop: Shop! @relation(name: \"ShopOrders\", link: INLINE)",
            ),
            (
                "type Note",
                "type Shop {\n  id: ID! @id\n  orders: [Order!] @relation(name: \"ShopOrders\")\n}\ntype Note",
            ),
        ],
    ),
    case("an enum gets a value", &[("LOST", "LOST LATE")]),
    case("an enum loses a value that no row has", &[(" LOST", "")]),
    case("an enum loses a value that rows have", &[("OPEN ", "")]),
    case(
        "a field becomes optional",
        &[("name: String!", "name: String")],
    ),
    case(
        "a field becomes required, all rows have a value",
        &[("amount: Int", "amount: Int!")],
    ),
    case(
        "a field becomes required, a row is null",
        &[("title: String", "title: String!")],
    ),
    case(
        "a field becomes required with a default, a row is null",
        &[("title: String", "title: String! @default(value: \"none\")")],
    ),
    case(
        "a field becomes unique, values differ",
        &[("name: String!", "name: String! @unique")],
    ),
    case(
        "a field becomes unique, two rows share a value",
        &[("title: String", "title: String @unique")],
    ),
    case(
        "a field is no longer unique",
        &[("code: String! @unique", "code: String!")],
    ),
    renamed(
        "a field is renamed, `--rename Order.title=name`",
        &[("title: String", "name: String")],
        &["--rename", "Order.title=name"],
    ),
    case(
        "a field is renamed without `--rename`",
        &[("title: String", "name: String")],
    ),
    renamed(
        "a model is renamed, `--rename Note=Memo`",
        &[("type Note", "type Memo")],
        &["--rename", "Note=Memo"],
    ),
    case(
        "a model is renamed without `--rename`",
        &[("type Note", "type Memo")],
    ),
    case(
        "a field without values is removed",
        &[("  memo: String\n", "")],
    ),
    case(
        "a field with values is removed",
        &[("  title: String\n", "")],
    ),
    case(
        "a list with values is removed",
        &[("  tags: [String!] @scalarList(strategy: RELATION)\n", "")],
    ),
    case(
        "a model without rows is removed",
        &[("type Spare {\n  id: ID! @id\n}\n", "")],
    ),
    case(
        "a model with rows is removed",
        &[("type Note {\n  id: ID! @id\n  text: String\n}\n", "")],
    ),
    case("Int becomes String", &[("amount: Int", "amount: String")]),
    case("Int becomes Float", &[("amount: Int", "amount: Float")]),
    case("Float becomes Int", &[("price: Float", "price: Int")]),
    case(
        "String becomes Int, all values are numbers",
        &[("code: String! @unique", "code: Int! @unique")],
    ),
    case(
        "String becomes Int, a value is not a number",
        &[("text: String", "text: Int")],
    ),
    case(
        "String becomes an enum that lacks its values",
        &[("title: String", "title: Stage")],
    ),
    case(
        "an enum becomes String",
        &[("stage: Stage", "stage: String")],
    ),
    case(
        "a relation becomes required, a row has no partner",
        &[("user: User @", "user: User! @")],
    ),
    case(
        "a relation becomes single, a row has two partners",
        &[("orders: [Order!]", "order: Order")],
    ),
    case(
        "a relation's links move from a column to a table",
        &[("link: INLINE", "link: TABLE")],
    ),
    case(
        "a relation points to another model",
        &[
            ("  orders: [Order!] @relation(name: \"UserOrders\")\n", ""),
            (
                "user: User @relation(name: \"UserOrders\", link: INLINE)",
                "user: Spare @relation(name: \"UserOrders\", link: INLINE)",
            ),
            (
                "type Spare {\n  id: ID! @id\n",
                "type Spare {\n  id: ID! @id\n  orders: [Order!] @relation(name: \"UserOrders\")\n",
            ),
        ],
    ),
    case(
        "a String becomes a relation of the same name",
        &[
            (
                "title: String",
                "title: Note @relation(name: \"Titles\", link: INLINE)",
            ),
            (
                "  text: String\n",
                "  text: String\n  titles: [Order!] @relation(name: \"Titles\")\n",
            ),
        ],
    ),
    case(
        "a relation is removed",
        &[
            ("  orders: [Order!] @relation(name: \"UserOrders\")\n", ""),
            (
                "  user: User @relation(name: \"UserOrders\", link: INLINE)\n",
                "",
            ),
        ],
    ),
];
