//! Customers whom several shops share: what one shop reads, writes or guesses of them is of no use at another.

use gom_actors::migrations::{self, Deployment};
use gom_server::application::Application;
use gom_server::identity::Viewer;
use serde_json::{Value, json};

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, customer, customer_of, seller, settings};

/// The customer of both sellers; PALETAS is its first shop.
const SHARED: &str = "cdemobp000000000000000002";
/// A customer of TACOS only.
const OF_TACOS: &str = "cdemobp000000000000000006";
/// An order of OF_TACOS.
const ORDER_OF_TACOS: &str = "cdemoorder000000000000007";

const BP: &str =
    "query($uid: ID!) { bp(where: { uid: $uid }) { extUid phone createdBy updatedBy } }";
const UPDATE: &str = "mutation($uid: ID!, $data: BpUpdateInput!) {
    updateBp(where: { uid: $uid }, data: $data) { extUid phone createdBy updatedBy } }";

async fn bp(shop: &Shop, viewer: &Viewer, uid: &str) -> Value {
    let response = shop.ask(viewer, BP, json!({ "uid": uid })).await;
    assert!(response.errors.is_empty(), "{response:?}");
    response.data["bp"].clone()
}

async fn update(shop: &Shop, viewer: &Viewer, uid: &str, data: Value) -> Value {
    let response = shop
        .ask(viewer, UPDATE, json!({ "uid": uid, "data": data }))
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    response.data["updateBp"].clone()
}

/// An order by which PALETAS sees the customer of TACOS.
async fn order_once(shop: &Shop) {
    let sql = format!(
        "update \"Order\" set \"issuedTo\" = '{OF_TACOS}' where uid = 'cdemoorder000000000000003';
         update \"Bp\" set \"createdBy\" = '{TACOS}', \"updatedBy\" = '{TACOS}' where uid = '{OF_TACOS}'"
    );
    shop.tables.batch_execute(&sql).await.unwrap();
}

#[actix::test]
async fn each_shop_has_its_own_code_and_number_of_a_shared_customer() {
    let shop = Shop::open().await;
    let (paletas, tacos) = (seller(PALETAS), seller(TACOS));
    let (here, there) = (
        bp(&shop, &paletas, SHARED).await,
        bp(&shop, &tacos, SHARED).await,
    );
    assert_eq!(
        here["extUid"], "DemoCode02",
        "the code in the row is the first shop's"
    );
    let code = there["extUid"].as_str().unwrap();
    assert!(
        code.len() == 10 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{code}"
    );
    assert_ne!(code, "DemoCode02");
    assert_eq!(
        (&here["phone"], &there["phone"]),
        (&json!("5523456795"), &json!("5523456795"))
    );

    // A number counts where it is given, at once, and nowhere else.
    let answer = update(
        &shop,
        &tacos,
        SHARED,
        json!({ "phone": "55 1111 2222", "email": "x@example.com" }),
    )
    .await;
    assert_eq!(
        (&answer["phone"], &answer["extUid"]),
        (&json!("55 1111 2222"), &json!(code))
    );
    assert_eq!(bp(&shop, &paletas, SHARED).await["phone"], "5523456795");
    // So does the same number, which the row has by now.
    update(&shop, &paletas, SHARED, json!({ "phone": "55 1111 2222" })).await;
    assert_eq!(bp(&shop, &paletas, SHARED).await["phone"], "55 1111 2222");
    update(&shop, &paletas, SHARED, json!({ "phone": null })).await;
    assert_eq!(bp(&shop, &paletas, SHARED).await["phone"], Value::Null);
    assert_eq!(bp(&shop, &tacos, SHARED).await["phone"], "55 1111 2222");
    // What the service writes counts everywhere.
    update(
        &shop,
        &Viewer::Service,
        SHARED,
        json!({ "phone": "5500000000" }),
    )
    .await;
    for viewer in [&paletas, &tacos] {
        assert_eq!(bp(&shop, viewer, SHARED).await["phone"], "5500000000");
    }
}

#[actix::test]
async fn a_seller_does_not_set_the_code_of_another_shops_login() {
    let shop = Shop::open().await;
    let before = logins(&shop, SHARED).await;
    // Whether the field is refused or left out: no login has the code.
    shop.ask(
        &seller(TACOS),
        UPDATE,
        json!({ "uid": SHARED, "data": { "extUid": "Chosen0001" } }),
    )
    .await;
    assert_eq!(logins(&shop, SHARED).await, before);
    assert_eq!(
        bp(&shop, &seller(PALETAS), SHARED).await["extUid"],
        "DemoCode02"
    );
}

#[actix::test]
async fn a_seller_with_only_an_order_sees_neither_code_nor_number() {
    let shop = Shop::open().await;
    order_once(&shop).await;
    let paletas = seller(PALETAS);
    let nothing = json!({ "extUid": null, "phone": null, "createdBy": null, "updatedBy": null });
    assert_eq!(bp(&shop, &paletas, OF_TACOS).await, nothing);
    let own = shop
        .read(
            &seller(TACOS),
            "{ bp(where: { extUid: \"DemoCode06\" }) { uid phone } }",
        )
        .await;
    assert_eq!(own["bp"], json!({ "uid": OF_TACOS, "phone": "5534567806" }));

    let found = async |filter: &str| {
        let text = format!(
            "{{ bps(where: {{ AND: [{{ uid: \"{OF_TACOS}\" }}, {filter}] }}) {{ uid }}
                orders(where: {{ issuedTo: {{ AND: [{{ uid: \"{OF_TACOS}\" }}, {filter}] }} }}) {{ uid }} }}"
        );
        let data = shop.read(&paletas, &text).await;
        let count = |key: &str| data[key].as_array().unwrap().len();
        (count("bps"), count("orders"))
    };
    for guess in [
        "{ extUid: \"DemoCode06\" }",
        "{ extUid_in: [\"DemoCode06\", \"x\"] }",
        "{ phone_starts_with: \"55\" }",
        "{ phone_not: null }",
        "{ extUid_gt: \"\" }",
        "{ createdBy: \"auth0|demo-tacos\" }",
        "{ OR: [{ updatedBy_ends_with: \"tacos\" }, { phone_lt: \"9\" }] }",
    ] {
        assert_eq!(found(guess).await, (0, 0), "{guess}");
    }
    // They are null, in every respect.
    for right in [
        "{ phone: null }",
        "{ extUid: null }",
        "{ AND: [{ createdBy: null }, { updatedBy: null }] }",
    ] {
        assert_eq!(found(right).await, (1, 1), "{right}");
    }
    for (text, code) in [
        ("{ bp(where: { extUid: \"DemoCode06\" }) { uid } }", None),
        ("{ bps(orderBy: phone_ASC) { uid } }", Some("FORBIDDEN")),
        (
            "{ bpsConnection(orderBy: extUid_DESC, after: \"cdemobp000000000000000001\") { edges { node { uid } } } }",
            Some("FORBIDDEN"),
        ),
        (
            "mutation { updateBp(where: { extUid: \"DemoCode06\" }, data: { name1: \"x\" }) { uid } }",
            Some("FORBIDDEN"),
        ),
        (
            "mutation { updateBp(where: { uid: \"cdemobp000000000000000006\" }, data: { phone: \"1\" }) { uid } }",
            Some("FORBIDDEN"),
        ),
    ] {
        let response = shop.ask(&paletas, text, json!({})).await;
        match code {
            Some(code) => assert_eq!(response.code(), code, "{text}"),
            None => assert_eq!(response.data, json!({ "bp": null }), "{response:?}"),
        }
    }
    assert_eq!(
        bp(&shop, &seller(TACOS), OF_TACOS).await["phone"],
        "5534567806"
    );
}

#[actix::test]
async fn a_shared_customers_row_reveals_no_other_seller() {
    let shop = Shop::open().await;
    let (paletas, tacos) = (seller(PALETAS), seller(TACOS));
    let answer = update(&shop, &tacos, SHARED, json!({ "name2": "x" })).await;
    assert_eq!(
        (&answer["createdBy"], &answer["updatedBy"]),
        (&Value::Null, &json!(TACOS))
    );
    let seen = bp(&shop, &paletas, SHARED).await;
    assert_eq!(
        (&seen["createdBy"], &seen["updatedBy"]),
        (&json!(PALETAS), &Value::Null)
    );
    let filtered = "{ bps(where: { updatedBy: \"auth0|demo-tacos\" }) { uid } }";
    assert_eq!(shop.read(&paletas, filtered).await, json!({ "bps": [] }));
    let row = bp(&shop, &Viewer::Service, SHARED).await;
    assert_eq!(
        (&row["createdBy"], &row["updatedBy"]),
        (&json!(PALETAS), &json!(TACOS))
    );
}

#[actix::test]
async fn a_customers_session_is_for_the_shop_whose_code_opened_it() {
    let shop = Shop::open().await;
    let (here, there) = (customer_of(PALETAS, SHARED), customer_of(TACOS, SHARED));
    let orders = "{ orders(first: 5) { uid assignedTo { extUid } issuedTo { uid extUid phone createdBy customerOf(first: 5) { extUid }
        orders(first: 5) { uid } } items(first: 5) { pricing(first: 5) { uid } } } }";
    let code = bp(&shop, &seller(TACOS), SHARED).await["extUid"].clone();
    update(
        &shop,
        &seller(PALETAS),
        SHARED,
        json!({ "phone": "5511112222" }),
    )
    .await;
    for (viewer, of, other, code, phone) in [
        (&here, PALETAS, TACOS, json!("DemoCode02"), "5511112222"),
        (&there, TACOS, PALETAS, code, "5523456795"),
    ] {
        let data = shop.read(viewer, orders).await;
        let list = data["orders"].as_array().unwrap();
        assert_eq!(list.len(), 1, "{data}");
        assert!(!data.to_string().contains(other), "{data}");
        assert_eq!(list[0]["assignedTo"]["extUid"], of);
        // What the customer's session shows of the customer is this shop's as well: a seller may be the one who reads it.
        assert_eq!(
            (
                &list[0]["issuedTo"]["extUid"],
                &list[0]["issuedTo"]["phone"]
            ),
            (&code, &json!(phone))
        );
    }
    let foreign = "cdemoorder000000000000011";
    let read = format!("{{ order(where: {{ uid: \"{foreign}\" }}) {{ name }} }}");
    assert_eq!(shop.read(&here, &read).await, json!({ "order": null }));
    for text in [
        format!(
            "mutation {{ updateOrder(where: {{ uid: \"{foreign}\" }}, data: {{ name: \"x\" }}) {{ uid }} }}"
        ),
        format!(
            "mutation {{ createOrder(data: {{ name: \"x\", issuedTo: {{ connect: {{ uid: \"{SHARED}\" }} }},
                assignedTo: {{ connect: {{ extUid: \"{TACOS}\" }} }} }}) {{ uid }} }}"
        ),
    ] {
        assert_eq!(shop.ask(&here, &text, json!({})).await.code(), "FORBIDDEN", "{text}");
    }
}

#[actix::test]
async fn deleting_a_shared_customer_is_refused_alike_with_and_without_orders() {
    let shop = Shop::open().await;
    shop.tables
        .batch_execute("update \"Order\" set stage = 'CLOSED'")
        .await
        .unwrap();
    let delete = format!("mutation {{ deleteBp(where: {{ uid: \"{SHARED}\" }}) {{ uid }} }}");
    let with_orders = shop.ask(&seller(PALETAS), &delete, json!({})).await;
    shop.tables
        .batch_execute("delete from \"Order\" where \"assignedTo\" = 'cdemouser0000000000000002'")
        .await
        .unwrap();
    let without = shop.ask(&seller(PALETAS), &delete, json!({})).await;
    for response in [&with_orders, &without] {
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            ("FORBIDDEN", "Cannot access this Bp")
        );
    }
    assert_eq!(with_orders.errors, without.errors);
}

#[actix::test]
async fn nobody_chooses_a_customers_id_or_takes_a_deleted_customers() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    shop.tables
        .batch_execute("update \"Order\" set stage = 'CLOSED'")
        .await
        .unwrap();
    let deleted = "cdemobp000000000000000004";
    shop.read(
        &paletas,
        &format!("mutation {{ deleteBp(where: {{ uid: \"{deleted}\" }}) {{ uid }} }}"),
    )
    .await;
    let create = "mutation($data: BpCreateInput!) { createBp(data: $data) { uid extUid } }";
    let of = json!({ "connect": { "extUid": PALETAS } });
    for uid in [TACOS, deleted, "chosen"] {
        let data = json!({ "uid": uid, "name1": "x", "phone": "5500000003", "customerOf": of });
        let response = shop.ask(&paletas, create, json!({ "data": data })).await;
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            (
                "BAD_USER_INPUT",
                "'uid' cannot be chosen: the server makes it"
            )
        );
    }
    // The deleted customer's session, which lives on, shows nothing.
    assert_eq!(
        shop.read(&customer(deleted), "{ orders { uid } }").await,
        json!({ "orders": [] })
    );
    let data = json!({ "uid": null, "name1": "x", "phone": "5500000003", "customerOf": of });
    let response = shop.ask(&paletas, create, json!({ "data": data })).await;
    assert_eq!(
        response.data["createBp"]["extUid"].as_str().unwrap().len(),
        10,
        "{response:?}"
    );
}

async fn logins(shop: &Shop, uid: &str) -> Vec<(String, String)> {
    let sql = "select l.seller, l.code from gom.customer_login l where l.customer = $1 order by 1";
    shop.tables
        .query(sql, &[&uid])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

#[actix::test]
async fn logins_follow_every_write_of_customers() {
    let shop = Shop::open().await;
    let before = logins(&shop, SHARED).await;
    assert_eq!(before.len(), 2, "{before:?}");
    // A link that is cut and made again has the code that it had.
    let relink = format!(
        "delete from \"_CustomerOf\" where \"A\" = '{SHARED}';
         insert into \"_CustomerOf\" (\"A\", \"B\") select '{SHARED}', uid from \"User\""
    );
    shop.tables.batch_execute(&relink).await.unwrap();
    assert_eq!(logins(&shop, SHARED).await, before);
    // While it is cut, the shop sees neither code nor number.
    let cut = format!(
        "delete from \"_CustomerOf\" where \"A\" = '{SHARED}' and \"B\" = 'cdemouser0000000000000002'"
    );
    shop.tables.batch_execute(&cut).await.unwrap();
    assert_eq!(
        bp(&shop, &seller(TACOS), SHARED).await["extUid"],
        Value::Null
    );
    // Another code in the row is another for the first shop.
    update(
        &shop,
        &Viewer::Service,
        SHARED,
        json!({ "extUid": "Another001" }),
    )
    .await;
    assert_eq!(
        bp(&shop, &seller(PALETAS), SHARED).await["extUid"],
        "Another001"
    );
    assert_eq!(logins(&shop, SHARED).await[1], before[1]);
    shop.read(
        &Viewer::Service,
        &format!("mutation {{ deleteBp(where: {{ uid: \"{SHARED}\" }}) {{ uid }} }}"),
    )
    .await;
    assert_eq!(logins(&shop, SHARED).await, []);
    shop.read(
        &Viewer::Service,
        &format!("mutation {{ deleteUser(where: {{ extUid: \"{TACOS}\" }}) {{ uid }} }}"),
    )
    .await;
    assert_eq!(
        shop.count(
            "select count(*) from gom.customer_login where seller = 'cdemouser0000000000000002'"
        )
        .await,
        0
    );
    assert!(bp(&shop, &Viewer::Service, ORDER_OF_TACOS).await.is_null());
}

#[actix::test]
async fn upgrading_gives_customers_logins_and_their_devices_new_subjects() {
    let shop = Shop::open().await;
    // As an earlier version leaves it: no logins; devices, deliveries and jobs under the bare id, one of which is also
    // a seller's subject.
    let old = format!(
        "delete from gom.customer_login;
         drop trigger \"watch customer_login default$default\" on gom.change;
         update \"Bp\" set \"createdBy\" = '{TACOS}' where uid = '{SHARED}';
         update \"User\" set \"extUid\" = '{OF_TACOS}' where \"extUid\" = '{TACOS}';
         update \"Bp\" set \"createdBy\" = '{OF_TACOS}' where \"createdBy\" = '{TACOS}';
         insert into gom.push_device
           select 'https://push.example/' || s, s, decode(repeat('00', 65), 'hex'), decode(repeat('00', 16), 'hex'), null, now()
           from unnest(array['{SHARED}', '{OF_TACOS}', '{PALETAS}', 'cdemobp000000000000000001']) s;
         insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at)
           values ('n1', 'order', 'o', 'order', 'o', 't', 'b', 1, 'high', now());
         insert into gom.delivery (id, notification, recipient, endpoint, origin, device, state)
           select 'd' || n, 'n1', s, 'e' || n, 'o', 'd', t from (values
             (1, '{SHARED}', 'DELIVERED'), (2, '{SHARED}', 'WAITING'), (3, '{OF_TACOS}', 'WAITING'),
             (4, '{PALETAS}', 'WAITING'), (5, 'cdemobp000000000000000001', 'DELIVERED')) v (n, s, t);"
    );
    shop.tables.batch_execute(&old).await.unwrap();
    let application: &dyn Application = &gom_shop::Shop;
    let read = application
        .read_datamodel(&settings("postgres://unused@localhost/unused"))
        .unwrap();
    let deployment = Deployment::new(&read.model, &read.text, "default$default");
    let mut client = shop.connect().await;
    let steps = migrations::apply(&mut client, &deployment, &|_| {})
        .await
        .unwrap()
        .steps;
    assert_eq!(steps.len(), 1, "{steps:?}");

    let code = "select count(*) from gom.customer_login l join \"Bp\" b on b.uid = l.customer where l.code = b.\"extUid\"";
    assert_eq!(
        shop.count("select count(*) from gom.customer_login").await,
        10
    );
    assert_eq!(
        shop.count(code).await,
        9,
        "every code that there was still opens a shop"
    );
    let logins = logins(&shop, SHARED).await;
    assert_eq!(
        logins[1],
        ("cdemouser0000000000000002".into(), "DemoCode02".into()),
        "of the shop that made the row"
    );
    let rows = async |sql: &str| -> Vec<String> {
        shop.tables
            .query(sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    };
    let (first, shared) = (
        format!("customer:cdemobp000000000000000001:{PALETAS}"),
        format!("customer:{SHARED}:{OF_TACOS}"),
    );
    let devices = rows("select subject from gom.push_device order by endpoint").await;
    // The device under the ambiguous subject cannot be attributed.
    assert_eq!(devices, [PALETAS, &first, &shared]);
    let recipients = rows("select recipient from gom.delivery order by id").await;
    // A settled delivery of a customer of two shops may belong to either: it is shown to neither.
    assert_eq!(recipients, [SHARED, &shared, OF_TACOS, PALETAS, &first]);
    // A second time there is nothing to do.
    assert!(
        migrations::apply(&mut client, &deployment, &|_| {})
            .await
            .unwrap()
            .steps
            .is_empty()
    );
}
