//! Listening, with errors that say which key of the configuration to look at.

use std::{
    fmt::Display,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context as _;
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};

/// Listens at `address`, which the configuration has under `key`. `[::]` means every address; on a
/// machine without IPv6, every IPv4 address.
///
/// # Errors
/// If that is not possible; names the key.
pub async fn bind(key: &str, address: impl ToSocketAddrs + Display) -> anyhow::Result<TcpListener> {
    let addresses: Vec<_> = lookup_host(&address)
        .await
        .with_context(|| format!("{key}: find the address of {address}"))?
        .collect();
    let mut bound = TcpListener::bind(&*addresses).await;
    let any_v6 = |address: &&SocketAddr| address.is_ipv6() && address.ip().is_unspecified();
    if let Some(any) = addresses.iter().find(any_v6)
        && bound.as_ref().is_err_and(no_ipv6)
    {
        bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, any.port())).await;
    }
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{key}: {address} is in use by another program; choose another port")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("{key}: {address} is not allowed; ports below 1024 need privileges")
        }
        _ => anyhow::Error::new(error).context(format!("{key}: listen on {address}")),
    })
}

fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_which_key_is_wrong() {
        let first = bind("a.listen", "localhost:0").await.expect("binds");
        let address = first.local_addr().expect("is bound");
        let error = bind("b.listen", address).await.expect_err("is taken");
        let words =
            format!("b.listen: {address} is in use by another program; choose another port");
        assert_eq!(error.to_string(), words);
        let error = bind("c.listen", "host.invalid:1")
            .await
            .expect_err("is nowhere");
        assert_eq!(
            error.to_string(),
            "c.listen: find the address of host.invalid:1"
        );
    }
}
