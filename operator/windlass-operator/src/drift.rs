//! Whether an object is as it should be.
//!
//! What is wanted is a part of what is there: the API server and others add to it. An entry of a list is known by its
//! `name` where it has one; other lists are compared whole. Texts that are quantities are compared by what they say, for the
//! API server writes them in its own way (`0.5` as `500m`), and a zero value that is wanted may be absent.

mod quantity;

use serde_json::Value;

/// The path of the first difference, such as `spec.replicas`; none where everything that is wanted is there.
#[must_use]
pub fn find(live: &Value, wanted: &Value) -> Option<String> {
    compare(live, wanted, &mut Vec::new())
}

fn compare(live: &Value, wanted: &Value, path: &mut Vec<String>) -> Option<String> {
    let different = |path: &[String]| Some(path.join("."));
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().find_map(|(key, value)| {
            path.push(key.clone());
            let found = match live.get(key) {
                None | Some(Value::Null) if is_zero(value) => None,
                Some(live) => compare(live, value, path),
                None => different(path),
            };
            path.pop();
            found
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            let named = !wanted.is_empty() && wanted.iter().all(|entry| entry["name"].is_string());
            if !named && live.len() != wanted.len() {
                return different(path);
            }
            wanted.iter().enumerate().find_map(|(index, entry)| {
                let other = if named {
                    live.iter().find(|other| other["name"] == entry["name"])
                } else {
                    live.get(index)
                };
                path.push(entry["name"].as_str().map_or_else(|| index.to_string(), str::to_owned));
                let found = match other {
                    Some(other) => compare(other, entry, path),
                    None => different(path),
                };
                path.pop();
                found
            })
        }
        (Value::String(live), Value::String(wanted)) if live != wanted => {
            let is_quantity = path
                .iter()
                .rev()
                .nth(1)
                .is_some_and(|key| key == "requests" || key == "limits");
            if is_quantity && quantity::are_equal(live, wanted) {
                None
            } else {
                different(path)
            }
        }
        (live, wanted) if live == wanted => None,
        _ => different(path),
    }
}

/// What the API server leaves out when it stores it.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_no_drift_and_what_they_change_is() {
        let wanted = json!({"spec": {"replicas": 2, "containers": [{"name": "a", "image": "x:1"}], "paused": false}});
        let live = json!({"spec": {"replicas": 2, "strategy": {}, "containers": [
            {"name": "injected"}, {"name": "a", "image": "x:1", "imagePullPolicy": "Always"}
        ]}, "status": {}});
        assert_eq!(find(&live, &wanted), None);
        for (pointer, value, path) in [
            ("/spec/replicas", json!(3), "spec.replicas"),
            ("/spec/containers/1/image", json!("y:1"), "spec.containers.a.image"),
            ("/spec/containers/1/name", json!("b"), "spec.containers.a"),
        ] {
            let mut changed = live.clone();
            *changed.pointer_mut(pointer).expect("it is there") = value;
            assert_eq!(find(&changed, &wanted).as_deref(), Some(path));
        }
    }

    #[test]
    fn lists_without_names_are_compared_whole_and_quantities_by_value() {
        let wanted = json!({"rules": [{"port": 1}], "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}}});
        let live = json!({"rules": [{"port": 1}], "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}});
        assert_eq!(find(&live, &wanted), None);
        assert_eq!(
            find(&json!({"sources": null}), &json!({"sources": [], "labels": {}})),
            None
        );
        let more = json!({"rules": [{"port": 1}, {"port": 2}], "resources": live["resources"]});
        assert_eq!(find(&more, &wanted).as_deref(), Some("rules"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(value in any_json()) {
            prop_assert_eq!(find(&value, &value), None);
        }
    }
}
