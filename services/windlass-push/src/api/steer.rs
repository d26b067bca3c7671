//! What is done with the connections of a user: `subscribe`, `unsubscribe`, `disconnect`, `refresh`.

use serde::{Deserialize, Serialize};
use windlass_task::{Tenant, UnixMillis};

use super::{Api, Done, Error, request};
use crate::codes::{CustomDisconnect, Disconnect, ErrorCode, UnsubscribeCode};
use crate::control::Control;
use crate::grant::{ServerSubscription, WrittenGrant};
use crate::queue::Order;
use crate::session::Instruction;

/// Something to be done with connections of one user, on whichever nodes they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserControl {
    /// The user's tenant.
    pub tenant: Tenant,
    /// The user.
    pub user: String,
    /// One connection only; empty for all.
    #[serde(default)]
    pub client: String,
    /// Connections that are left alone.
    #[serde(default)]
    pub except: Vec<String>,
    /// What.
    pub act: Act,
}

/// What is done with a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Subscribe it.
    Subscribe {
        /// To what.
        channel: String,
        /// As what.
        grant: Box<WrittenGrant>,
    },
    /// End a subscription.
    Unsubscribe {
        /// To what.
        channel: String,
    },
    /// Close it.
    Disconnect {
        /// The close code; the service's own when absent.
        code: Option<u32>,
        /// The reason.
        reason: String,
    },
    /// Move its end.
    Refresh {
        /// Seconds since 1970; `None` for never.
        expire_at: Option<i64>,
    },
}

impl Act {
    /// The order that a connection is given for it; `None` when it is of another release's making.
    #[must_use]
    pub fn order(&self, now: UnixMillis) -> Option<Order> {
        Some(match self {
            Self::Subscribe { channel, grant } => {
                Order::Instruct(Instruction::Subscribe(Box::new(ServerSubscription {
                    channel: channel.clone(),
                    grant: WrittenGrant::clone(grant).read(None, now).ok()?,
                })))
            }
            Self::Unsubscribe { channel } => Order::Instruct(Instruction::Unsubscribe {
                channel: channel.clone(),
                code: UnsubscribeCode::Server,
            }),
            Self::Disconnect { code, reason } => Order::Disconnect(match code {
                Some(code) => Disconnect::Custom(CustomDisconnect::new(*code, reason.clone())?.into()),
                None => Disconnect::ForceNoReconnect,
            }),
            Self::Refresh { expire_at } => {
                let ends = expire_at.map(|seconds| {
                    let seconds = u64::try_from(seconds).unwrap_or(0);
                    UnixMillis(seconds.saturating_mul(1_000)).since(now)
                });
                Order::Instruct(Instruction::Refresh { expires_in: ends })
            }
        })
    }
}

impl Api {
    pub(super) async fn subscribe(&self, request: request::Subscribe) -> Result<Done, Error> {
        // Told here and now what is wrong with it: nobody hears of it later.
        self.stream(&request.channel)?;
        let grant = Box::new(request.grant);
        let channel = request.channel;
        self.steer(
            request.user,
            request.client,
            Vec::new(),
            Act::Subscribe { channel, grant },
        )
        .await
    }

    pub(super) async fn unsubscribe(&self, request: request::Unsubscribe) -> Result<Done, Error> {
        let channel = request.channel;
        self.steer(request.user, request.client, Vec::new(), Act::Unsubscribe { channel })
            .await
    }

    pub(super) async fn disconnect(&self, request: request::Disconnect) -> Result<Done, Error> {
        let words = request.disconnect.filter(|words| words.code != 0);
        let (code, reason) = words.map_or((None, String::new()), |words| (Some(words.code), words.reason));
        self.steer(
            request.user,
            request.client,
            request.whitelist,
            Act::Disconnect { code, reason },
        )
        .await
    }

    pub(super) async fn refresh(&self, request: request::Refresh) -> Result<Done, Error> {
        let act = if request.expired {
            let (code, reason) = Disconnect::Expired.parts();
            Act::Disconnect {
                code: Some(u32::from(code)),
                reason: reason.to_owned(),
            }
        } else {
            Act::Refresh {
                expire_at: request.expire_at.filter(|seconds| *seconds != 0),
            }
        };
        self.steer(request.user, request.client, Vec::new(), act).await
    }

    async fn steer(&self, user: String, client: String, except: Vec<String>, act: Act) -> Result<Done, Error> {
        if user.is_empty() || act.order(UnixMillis::now()).is_none() {
            return Err(ErrorCode::BadRequest.into());
        }
        let control = UserControl {
            tenant: self.tenant.clone(),
            user,
            client,
            except,
            act,
        };
        let message = Control::User(control.clone()).encode();
        self.push
            .broker()
            .tell_user(&control.tenant, &control.user, message)
            .await?;
        Ok(Done {})
    }
}
