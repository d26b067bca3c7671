//! Finding the task's id in what people hold: the id itself, or the URL of its upload.

use reqwest::Url;
use windlass_task::TaskId;

/// The task's id in the path of an upload's URL (`/files/<tenant>/<id>/<key>`), if it is one of ours.
pub(crate) fn in_url(url: &Url) -> Option<String> {
    in_path(url.path())
}

/// The same in a path alone.
pub(crate) fn in_path(path: &str) -> Option<String> {
    path.split('/')
        .find(|segment| segment.parse::<TaskId>().is_ok())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_a_location_and_nothing_else_is_taken_for_one() {
        let id = "local-01890a5d-ac96-774b-bcce-b302099a8057";
        let url = Url::parse(&format!("http://x/files/default/{id}/c2VjcmV0")).unwrap();
        assert_eq!(in_url(&url).as_deref(), Some(id));
        assert_eq!(in_path(&format!("/files/default/{id}")).as_deref(), Some(id));
        assert_eq!(in_path("/files/24e533e02ec3bc40c387f1a0e460e216"), None);
    }
}
