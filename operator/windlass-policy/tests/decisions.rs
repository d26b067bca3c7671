//! The crate against the committed tree of policies, and against trees that are wrong on purpose.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is the failure")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use windlass_policy::{
    Bundle, BundleError, Decision, Domain, Evaluator, File, Mask, Record, Replay, ReplayError, Request, TIME_LIMIT,
    Verdict,
};

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// The tree as it is committed.
fn tree() -> Vec<File> {
    fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push(File {
                    path: name,
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = Vec::new();
    walk(&root, &root, &mut files);
    files
}

fn bundle() -> Bundle {
    Bundle::new(tree()).unwrap()
}

fn sample(path: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    serde_json::from_str(&fs::read_to_string(root.join(path)).unwrap()).unwrap()
}

fn decide(bundle: &Bundle, domain: &str, input: &Value) -> Decision {
    Evaluator::new(bundle, &Domain::new(domain)).unwrap().decide(input)
}

fn with_policy(text: &str) -> Bundle {
    Bundle::new([file("probe/one/policy.rego", text)]).unwrap()
}

fn rules(decision: &Decision) -> Vec<&str> {
    decision
        .violations
        .iter()
        .map(|violation| violation.rule.as_str())
        .collect()
}

fn request() -> Request {
    Request {
        decision_id: "0192f0c1".to_owned(),
        instance: "windlass-operator-0".to_owned(),
        version: "0.1.0".to_owned(),
        requested_by: "rollout/upload".to_owned(),
        timestamp: "2026-11-23T10:00:00Z".to_owned(),
        trace_id: None,
        span_id: None,
    }
}

#[test]
fn a_rollout_in_good_health_is_allowed_by_every_policy() {
    let bundle = bundle();
    let decision = decide(
        &bundle,
        "rollout",
        &sample("rollout/budget/samples/allowed/in-budget.json"),
    );
    assert_eq!(decision.verdict, Verdict::Allow, "{:?}", decision.violations);
    assert_eq!(decision.policies, bundle.policies(&Domain::new("rollout")).len());
    assert!(decision.policies >= 4);
}

#[test]
fn a_denial_names_rule_reason_and_cure() {
    let input = sample("rollout/budget/samples/denied/sample-missing.few.json");
    let decision = decide(&bundle(), "rollout", &input);
    assert_eq!(
        (decision.verdict, rules(&decision)),
        (Verdict::Deny, vec!["sample-missing"])
    );
    let violation = &decision.violations[0];
    assert_eq!(violation.subject, "longest_stall_ms");
    assert!(!violation.why.is_empty() && !violation.instead.is_empty());
}

#[test]
fn an_input_that_says_nothing_is_denied_by_every_domain() {
    let bundle = bundle();
    for domain in bundle.domains() {
        for input in [json!({}), Value::Null, json!([]), json!(1), json!("plan")] {
            assert_eq!(
                decide(&bundle, domain.as_str(), &input).verdict,
                Verdict::Deny,
                "{domain} allows {input}"
            );
        }
    }
}

#[test]
fn a_domain_without_policies_denies() {
    let decision = decide(&bundle(), "nobody", &json!({}));
    assert_eq!(
        (decision.verdict, rules(&decision)),
        (Verdict::Deny, vec!["not-evaluated"])
    );
}

#[test]
fn a_builtins_error_denies_and_the_other_policies_are_still_heard() {
    let broken = "package windlass.probe.one\n\ndeny contains {\"rule\": \"x\"} if to_number(input.text) > 1\n";
    let sound = "package windlass.probe.two\n\ndeny contains {\"rule\": \"two\", \"subject\": \"s\", \"why\": \"w\", \
                 \"instead\": \"i\"} if true\n";
    let bundle = Bundle::new([
        file("probe/one/policy.rego", broken),
        file("probe/two/policy.rego", sound),
    ])
    .unwrap();
    let decision = decide(&bundle, "probe", &json!({"text": "no number"}));
    assert_eq!((rules(&decision), decision.policies), (vec!["not-evaluated", "two"], 1));
}

#[test]
fn violations_of_another_shape_deny() {
    let bundle = with_policy("package windlass.probe.one\n\ndeny contains \"no\" if input.x\n");
    assert_eq!(rules(&decide(&bundle, "probe", &json!({"x": true}))), ["not-evaluated"]);
    assert_eq!(decide(&bundle, "probe", &json!({})).verdict, Verdict::Allow);
}

#[test]
fn a_policy_that_would_never_end_denies_when_its_time_is_up() {
    let text = "package windlass.probe.one\n\ndeny contains i if {\n\tsome i in numbers.range(0, 100000)\n\tsome j in \
                numbers.range(0, 100000)\n\ti + j < 0\n}\n";
    let decision = decide(&with_policy(text), "probe", &json!({}));
    assert_eq!(rules(&decision), ["not-evaluated"]);
    assert!(
        decision.elapsed >= TIME_LIMIT,
        "it ended for another reason: {:?}",
        decision.violations
    );
}

#[test]
fn a_tree_that_could_let_something_through_is_refused() {
    let refused = |files: &[File]| Bundle::new(files.to_vec()).unwrap_err();
    let path = "probe/one/policy.rego";
    assert!(matches!(refused(&[]), BundleError::FindPolicies));
    let other = refused(&[file(path, "package windlass.probe.other\n\ndeny contains 1 if false\n")]);
    assert!(matches!(other, BundleError::MatchPackage { .. }));
    let toothless = refused(&[file(path, "package windlass.probe.one\n\nallow := true\n")]);
    assert!(matches!(toothless, BundleError::FindDenyRule { .. }));
    let clock = refused(&[file(
        path,
        "package windlass.probe.one\n\ndeny contains 1 if time.now_ns() > 1\n",
    )]);
    assert!(matches!(
        clock,
        BundleError::CallImpure {
            builtin: "time.now_ns",
            ..
        }
    ));
    let limits = refused(&[file("limits/a.json", "{\"a\": 1}"), file("limits/b.json", "{\"a\": 2}")]);
    assert!(matches!(limits, BundleError::DefineTwice { .. }));
    let unknown = with_policy("package windlass.probe.one\n\ndeny contains 1 if http.fetch(\"x\")\n");
    assert_eq!(decide(&unknown, "probe", &json!({})).verdict, Verdict::Deny);
}

#[test]
fn the_digest_follows_every_module_and_limit_and_nothing_else() {
    let digest = |files: Vec<File>| Bundle::new(files).unwrap().digest().clone();
    let (same, mut reordered, mut changed, mut limited, mut tested) = (tree(), tree(), tree(), tree(), tree());
    let before = digest(same);
    reordered.reverse();
    assert_eq!(digest(reordered), before);
    changed
        .iter_mut()
        .find(|file| file.path == "lib/violation.rego")
        .unwrap()
        .text
        .push('\n');
    assert_ne!(digest(changed), before);
    let waves = limited
        .iter_mut()
        .find(|file| file.path == "limits/waves.json")
        .unwrap();
    waves.text = waves.text.replace("3600", "60");
    assert_ne!(digest(limited), before);
    tested.retain(|file| !file.path.ends_with("_test.rego") && !file.path.contains("/samples/"));
    assert_eq!(digest(tested), before);
}

#[test]
fn a_record_replays_to_the_same_verdict_and_survives_storage() {
    let (bundle, input) = (bundle(), sample("rollout/order/samples/denied/bake-too-short.json"));
    let decision = decide(&bundle, "rollout", &input);
    let record = Record::new(request(), &decision, &input, &Mask::new(&bundle).unwrap());
    let stored: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(stored, record);
    assert_eq!(stored.path, "windlass/rollout");
    assert!(matches!(stored.replay(&bundle, None), Ok(Replay::Same)));
}

#[test]
fn a_record_of_other_policies_or_another_input_is_not_replayed() {
    let (bundle, input) = (bundle(), sample("rollout/order/samples/allowed/second-wave.json"));
    let record = Record::new(
        request(),
        &decide(&bundle, "rollout", &input),
        &input,
        &Mask::new(&bundle).unwrap(),
    );
    let mut other = tree();
    other
        .iter_mut()
        .find(|file| file.path == "limits/waves.json")
        .unwrap()
        .text = "{\"waves\": {}}".to_owned();
    let other = Bundle::new(other).unwrap();
    assert!(matches!(
        record.replay(&other, None),
        Err(ReplayError::MatchPolicies { .. })
    ));
    assert!(matches!(
        record.replay(&bundle, Some(&json!({}))),
        Err(ReplayError::MatchInput)
    ));
}

#[test]
fn what_may_be_secret_is_not_in_the_record_and_the_original_replays() {
    let bundle = bundle();
    let mut input = sample("terraform/shape/samples/allowed/a-plan.json");
    input["plan"]["variables"] = json!({"password": {"value": "hunter2"}});
    let record = Record::new(
        request(),
        &decide(&bundle, "terraform", &input),
        &input,
        &Mask::new(&bundle).unwrap(),
    );
    assert_eq!(record.erased, ["/input/plan/variables"]);
    assert!(!serde_json::to_string(&record).unwrap().contains("hunter2"));
    assert!(matches!(
        record.replay(&bundle, None),
        Err(ReplayError::NeedInput { .. })
    ));
    assert!(matches!(record.replay(&bundle, Some(&input)), Ok(Replay::Same)));
}

#[test]
fn without_a_mask_the_whole_input_stays_out_of_the_record() {
    let bundle = with_policy("package windlass.probe.one\n\ndeny contains 1 if false\n");
    let input = json!({"secret": "hunter2"});
    let record = Record::new(
        request(),
        &decide(&bundle, "probe", &input),
        &input,
        &Mask::new(&bundle).unwrap(),
    );
    assert!(!serde_json::to_string(&record).unwrap().contains("hunter2"));
}
