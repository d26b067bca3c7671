//! `spec.drain`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How long a pod that goes takes to be left by its clients. A pod's `terminationGracePeriodSeconds` follows from it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[x_kube(validation = (
    "self.deadlineSeconds >= self.windowSeconds",
    "deadlineSeconds must be at least windowSeconds: clients that are asked to leave at the end of the window would be cut"
))]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How long it still accepts connections while load balancers take it out.
    #[serde(default = "removal")]
    #[schemars(range(min = 0, max = 600))]
    pub removal_seconds: i32,
    /// Over how long WebSocket clients are asked to leave, evenly.
    #[serde(default = "window")]
    #[schemars(range(min = 0, max = 3600))]
    pub window_seconds: i32,
    /// When what is still open is cut, after it has stopped to accept.
    #[serde(default = "deadline")]
    #[schemars(range(min = 1, max = 7200))]
    pub deadline_seconds: i32,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            removal_seconds: removal(),
            window_seconds: window(),
            deadline_seconds: deadline(),
        }
    }
}

/// What an endpoint's removal takes to reach a gateway: a second or two, and more on a busy control plane.
fn removal() -> i32 {
    5
}

/// As `push.drain.window` is by itself.
fn window() -> i32 {
    15
}

/// As `listener.drain.deadline` is by itself.
fn deadline() -> i32 {
    25
}
