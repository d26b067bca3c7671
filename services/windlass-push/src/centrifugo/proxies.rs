//! Centrifugo's proxies to a backend. They have the same names and shapes here, less what is not HTTP.

use serde_json::{Map, Value};

use super::options::{self, Fate};
use super::{Error, Translation, is_off, text, wrong};

/// How one section becomes ours.
type Translate = fn(&mut Translation, &str, &Map<String, Value>) -> Result<Map<String, Value>, Error>;

/// Whether the section at `path` is one proxy.
pub(super) fn is_one(path: &str) -> bool {
    matches!(
        path,
        "client.proxy.connect"
            | "client.proxy.refresh"
            | "channel.proxy.subscribe"
            | "channel.proxy.publish"
            | "channel.proxy.sub_refresh"
            | "rpc.proxy"
    )
}

impl Translation {
    /// One proxy.
    pub(super) fn proxy(&mut self, path: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut taken = Map::new();
        for (name, value) in given {
            let option = format!("{path}.{name}");
            if is_off(value) {
                continue;
            }
            match (name.as_str(), value) {
                ("endpoint", value) if text(&option, value)?.starts_with("grpc://") => {
                    let reason = "gRPC is not spoken; give the backend an http:// or https:// endpoint";
                    return Err(Error::RefuseOption { option, reason });
                }
                ("http", Value::Object(given)) => {
                    let http = self.proxy_http(&option, given)?;
                    taken.insert(name.clone(), http.into());
                }
                ("http_headers" | "emulated_headers", Value::Array(_)) => {
                    taken.insert(name.clone(), value.clone());
                }
                ("grpc_metadata" | "grpc", _) => self.note(&option, "gRPC is not spoken"),
                (name, value) => self.taken(&mut taken, option, options::of_proxy(name), value)?,
            }
        }
        Ok(taken)
    }

    fn proxy_http(&mut self, path: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut taken = Map::new();
        for (name, value) in given {
            let option = format!("{path}.{name}");
            if is_off(value) {
                continue;
            }
            match (name.as_str(), value) {
                ("static_headers", Value::Object(_)) => {
                    taken.insert(name.clone(), value.clone());
                }
                ("status_to_code_transforms", Value::Array(list)) => {
                    let list = list.iter().map(without_what_is_off).collect();
                    taken.insert(name.clone(), Value::Array(list));
                }
                ("tls", Value::Object(given)) if given.get("enabled") == Some(&Value::Bool(true)) => {
                    let mut tls = Map::new();
                    for (name, value) in given.iter().filter(|(_, value)| !is_off(value)) {
                        let option = format!("{option}.{name}");
                        self.taken(&mut tls, option, options::of_proxy_tls(name), value)?;
                    }
                    taken.insert(name.clone(), tls.into());
                }
                ("tls", Value::Object(_)) => {}
                _ => self.note(&option, "it is not known here"),
            }
        }
        Ok(taken)
    }

    /// The options of methods.
    pub(super) fn rpc_options(&mut self, path: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut taken = Map::new();
        for (name, value) in given.iter().filter(|(_, value)| !is_off(value)) {
            let option = format!("{path}.{name}");
            self.taken(&mut taken, option, options::of_rpc(name), value)?;
        }
        Ok(taken)
    }

    pub(super) fn rpc_namespaces(&mut self, path: &str, namespaces: &[Value]) -> Result<(), Error> {
        let taken = self.each_named(path, namespaces, Self::rpc_options)?;
        self.place(path, taken);
        Ok(())
    }

    pub(super) fn named_proxies(&mut self, path: &str, proxies: &[Value]) -> Result<(), Error> {
        let taken = self.each_named(path, proxies, Self::proxy)?;
        self.place(path, taken);
        Ok(())
    }

    /// A list of mappings, each with a name.
    fn each_named(&mut self, path: &str, list: &[Value], translate: Translate) -> Result<Value, Error> {
        let mut taken = Vec::new();
        for item in list {
            let item = item.as_object().ok_or_else(|| wrong(path, "a list of mappings"))?;
            let name = item.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| wrong(path, "a list of mappings, each with a name"))?;
            taken.push(Value::Object(translate(self, &format!("{path}[{name}]"), item)?));
        }
        Ok(Value::Array(taken))
    }

    /// Takes an option of a proxy or of methods.
    fn taken(
        &mut self,
        taken: &mut Map<String, Value>,
        option: String,
        fate: Fate,
        value: &Value,
    ) -> Result<(), Error> {
        match fate {
            Fate::Becomes(place) => {
                taken.insert(place.path.to_owned(), options::convert(&option, place, value)?);
            }
            Fate::Refused(reason) => return Err(Error::RefuseOption { option, reason }),
            Fate::Instead(advice) => self.note(&option, advice),
            Fate::Fine | Fate::Fixed(_) | Fate::Required(_) | Fate::Unknown => {
                self.note(&option, "it is not known here")
            }
        }
        Ok(())
    }
}

/// A transform less the half that it does not say.
fn without_what_is_off(transform: &Value) -> Value {
    match transform {
        Value::Object(given) => given
            .iter()
            .filter(|(_, value)| !is_off(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
