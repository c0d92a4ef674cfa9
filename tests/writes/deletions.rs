//! Deletions that spread along relations; a part of the test in `combinations`.

use gom_test_support::app::TestApp;
use serde_json::json;

use crate::combinations::{query, refused, run};

pub(crate) async fn deletions_spread(app: &TestApp) {
    let forest = r#"createTree(data: {u: "root", tags: {set: ["t"]}, children: {create: [
        {u: "left", leaf: {create: [{u: "leaf1"}]}}, {u: "right", children: {create: {u: "twig", tags: {set: ["v"]}, leaf: {create: {u: "leaf2"}}}}}]}}) { u }"#;
    run(app, forest).await;
    run(
        app,
        r#"createPin(data: {u: "pin", leaf: {connect: {u: "leaf2"}}}) { u }"#,
    )
    .await;
    let needed = (3042, "The change you are trying to make would violate the required relation 'LeafToPin' between Leaf and Pin".to_owned());
    assert_eq!(
        refused(app, r#"deleteTree(where: {u: "root"}) { u }"#).await,
        needed
    );
    assert_eq!(
        refused(
            app,
            r#"deleteManyTrees(where: {u_in: ["root", "left"]}) { count }"#
        )
        .await,
        needed
    );
    assert_eq!(
        refused(app, r#"deleteLeaf(where: {u: "leaf2"}) { u }"#).await,
        needed
    );
    assert_eq!(
        refused(
            app,
            r#"updateTree(where: {u: "root"}, data: {children: {delete: {u: "right"}}}) { u }"#
        )
        .await,
        needed
    );
    assert_eq!(
        refused(
            app,
            r#"updateTree(where: {u: "root"}, data: {children: {deleteMany: {}}}) { u }"#
        )
        .await,
        needed
    );
    assert_eq!(
        query(app, "trees { u } leaves { u }").await["trees"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    run(app, r#"deletePin(where: {u: "pin"}) { leaf { u } }"#).await;
    // Up from the leaf to its tree, and down again from there.
    run(app, r#"deleteManyLeaves(where: {u: "leaf2"}) { count }"#).await;
    let left = query(app, "trees(orderBy: u_ASC) { u tags } leaves { u }").await;
    assert_eq!(
        left,
        json!({ "trees": [{ "u": "left", "tags": [] }, { "u": "right", "tags": [] }, { "u": "root", "tags": ["t"] }], "leaves": [{ "u": "leaf1" }] })
    );
    // A ring deletes itself.
    run(
        app,
        r#"updateTree(where: {u: "root"}, data: {parent: {connect: {u: "left"}}}) { u }"#,
    )
    .await;
    let deleted = run(
        app,
        r#"deleteTree(where: {u: "left"}) { u tags children { u } leaf { u } parent { u } }"#,
    )
    .await;
    assert_eq!(
        deleted,
        json!({ "deleteTree": { "u": "left", "tags": [], "children": [], "leaf": [], "parent": null } })
    );
    assert_eq!(
        query(app, "trees { u } leaves { u }").await,
        json!({ "trees": [], "leaves": [] })
    );
}
