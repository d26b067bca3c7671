//! Tokens as an identity service would issue them.

use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

/// The secret that the test servers verify with; 32 bytes is the least that HS256 takes.
pub const SECRET: &str = "an-end-to-end-test-secret-of-40-bytes!!!";

/// A token of this user, valid for an hour.
#[must_use]
pub fn of(owner: &str) -> String {
    claiming(&json!({ "sub": owner, "exp": get_current_timestamp() + 3_600 }))
}

/// A token of this user in a tenant, valid for an hour.
#[must_use]
pub fn of_tenant(owner: &str, tenant: &str) -> String {
    claiming(&json!({ "sub": owner, "tenant": tenant, "exp": get_current_timestamp() + 3_600 }))
}

/// A token of this user with just these rights.
#[must_use]
pub fn with_rights(owner: &str, rights: &[&str]) -> String {
    claiming(&json!({ "sub": owner, "rights": rights, "exp": get_current_timestamp() + 3_600 }))
}

/// A token of this user whose time was over an hour ago.
#[must_use]
pub fn expired(owner: &str) -> String {
    claiming(&json!({ "sub": owner, "exp": get_current_timestamp() - 3_600 }))
}

/// The secret that the test servers verify signed links with.
pub const LINK_SECRET: &str = "an-end-to-end-link-secret-of-40-bytes!!!";

/// The query of a signed link, as `docs/uploading.md` says to make it.
///
/// # Panics
/// Never: HMAC takes any key.
#[must_use]
pub fn link(tenant: &str, sub: &str, expires: u64, max: &str, id: &str) -> String {
    let lines = format!("windlass-link-1\ncreate\n{tenant}\n{sub}\n{expires}\n{max}\n{id}");
    let key = EncodingKey::from_secret(LINK_SECRET.as_bytes());
    let sig = sign(lines.as_bytes(), &key, Algorithm::HS256).expect("HMAC takes any key");
    format!("exp={expires}&sub={sub}&tenant={tenant}&max={max}&id={id}&sig={sig}")
}

/// A token with any claims, signed with [`SECRET`].
#[must_use]
pub fn claiming(claims: &Value) -> String {
    signed(claims, SECRET)
}

/// A token with any claims and any secret.
///
/// # Panics
/// Never: JSON can be encoded.
#[must_use]
pub fn signed(claims: &Value, secret: &str) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("claims are JSON")
}
