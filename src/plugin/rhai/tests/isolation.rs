use serde_json::json;

use super::{Turn, call, plugin_of};
use crate::plugin::HandlerId;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thousand_calls_change_of_captured_variables_is_gone_after_each() {
    let plugin = plugin_of(
        r#"
        let count = 0;
        let seen = #{ list: [] };
        let remember = |id| { seen.list.push(id); count += 1; };
        tool(#{ name: "t", description: "d", parameters: #{ id: #{ type: "integer" } }, run: |args, ctx| {
            for i in 0..3 { remember.call(args.id); }
            [count, seen.list]
        } });
        count = 10;
        "#,
    )
    .await;
    let turn = Turn::start();
    let calls = (0..1000).map(|id| {
        let call = plugin.clone().call(HandlerId(0), json!({ "id": id }), turn.context());
        async move { (id, call.await) }
    });
    for (id, result) in futures::future::join_all(calls).await {
        assert_eq!(result.unwrap(), json!([13, [id, id, id]]));
    }
}

#[tokio::test]
async fn arguments_and_constants_of_one_call_are_not_seen_by_the_next() {
    let plugin = plugin_of(
        r#"
        const LIST = [1];
        fn list() { let copy = LIST; copy.push(2); copy.len() }
        let last = ();
        tool(#{ name: "t", description: "d", parameters: #{ x: #{ optional: true } }, run: |args, ctx| {
            let before = last;
            last = args.x;
            args.x = 9;
            [before, list(), LIST.len()]
        } });
        "#,
    )
    .await;
    assert_eq!(call(&plugin, json!({ "x": 1 })).await, "[null,2,1]");
    assert_eq!(call(&plugin, json!({ "x": 2 })).await, "[null,2,1]");
}
