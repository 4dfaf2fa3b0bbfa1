//! What `headworks up` says when it is ready.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use headworks_types::Secret;
use serde::Serialize;

use crate::{failure::Failure, output};

/// Where everything is.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    pub(crate) api: String,
    /// Where other edges could join.
    pub(crate) edge_api: String,
    /// Only if this start has made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_key: Option<Secret>,
    pub(crate) http: String,
    #[serde(skip)]
    pub(crate) data: PathBuf,
}

/// A URL that works on this machine for what listens at `address`.
pub(crate) fn local_url(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!("{scheme}://{address}")
}

impl Ready {
    pub(crate) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let text = if as_json {
            serde_json::to_string(self).map_err(Failure::from_error)?
        } else {
            self.text()
        };
        match self.admin_key {
            Some(_) => output::important_line(&text),
            None => output::line(&text),
        }
    }

    fn text(&self) -> String {
        let Self { api, http, .. } = self;
        let data = self.data.display();
        let (shown, key) = match &self.admin_key {
            Some(key) => {
                let key = key.expose();
                (
                    format!(
                        "\n  admin key    {key}\n               Keep it; it is not shown again.\n"
                    ),
                    key,
                )
            }
            None => (String::new(), "<your admin key>"),
        };
        format!(
            "Headworks is running.

  API          {api}
  reference    {api}/docs
  playback     {http}
  data         {data}
{shown}
Add a camera from another terminal:

  export HEADWORKS_API={api} HEADWORKS_API_KEY={key}
  headworks camera create --name 'Front door' --url rtsp://192.0.2.10/stream1 \\
    --username root --password-file password.txt

Then `headworks token issue --camera <id>` prints addresses to watch it.
Ctrl-C stops Headworks; the data stays."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(admin_key: Option<&str>) -> Ready {
        Ready {
            edge_api: local_url("https", "127.0.0.1:8443".parse().expect("parses")),
            api: local_url("http", "[::]:8080".parse().expect("parses")),
            admin_key: admin_key.map(Secret::new),
            http: local_url("http", "192.0.2.7:8081".parse().expect("parses")),
            data: "/var/lib/headworks".into(),
        }
    }

    #[test]
    fn programs_get_one_line() {
        let json = serde_json::to_string(&ready(Some("hwak_a_b"))).expect("serializes");
        assert_eq!(
            json,
            r#"{"api":"http://127.0.0.1:8080","edge_api":"https://127.0.0.1:8443","admin_key":"hwak_a_b","http":"http://192.0.2.7:8081"}"#
        );
        let json = serde_json::to_string(&ready(None)).expect("serializes");
        assert!(!json.contains("admin_key"));
    }

    #[test]
    fn people_get_the_next_step() {
        insta::assert_snapshot!("first_start", ready(Some("hwak_a_b")).text());
        insta::assert_snapshot!("later_start", ready(None).text());
    }
}
