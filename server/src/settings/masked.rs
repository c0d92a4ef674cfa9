//! Values as people may see them: a secret is not shown, a database's URL without its password.

use config::ValueKind;
use gom_actors::database::DatabaseOptions;

use super::issuers;
use super::kind::{Kind, shown};

/// The value as people may see it: secrets masked, a URL without its password.
pub fn masked(kind: Kind, value: &ValueKind) -> String {
    match (kind, value) {
        (Kind::Secret, _) => "***".into(),
        (Kind::DatabaseUrl, ValueKind::String(text)) => mask_password(text),
        (Kind::Issuers, ValueKind::Array(elements)) => issuers::shown(elements),
        (_, value) => shown(value),
    }
}

/// Keeps of a connection string what says where it leads; anything that is not understood is masked whole.
fn mask_password(text: &str) -> String {
    let Ok(DatabaseOptions { server: config, .. }) = DatabaseOptions::from_url(text) else {
        return "***".into();
    };
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .zip(
            config
                .get_ports()
                .iter()
                .copied()
                .map(Some)
                .chain(std::iter::repeat(None)),
        )
        .map(|(host, port)| {
            let host = match host {
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            };
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        })
        .collect();
    let password = if config.get_password().is_some() {
        ":***"
    } else {
        ""
    };
    let user = config
        .get_user()
        .map_or(String::new(), |user| format!("{user}{password}@"));
    format!(
        "postgres://{user}{}/{}",
        hosts.join(","),
        config.get_dbname().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_shown_without_its_password() {
        let shown = masked(
            Kind::DatabaseUrl,
            &ValueKind::String(
                "postgres://gom:hunter2@db.example:5433/shop?sslmode=require".into(),
            ),
        );
        assert_eq!(shown, "postgres://gom:***@db.example:5433/shop");
        let shown = masked(
            Kind::DatabaseUrl,
            &ValueKind::String("host=db password=hunter2 user=gom".into()),
        );
        assert_eq!(shown, "postgres://gom:***@db/");
    }
}
