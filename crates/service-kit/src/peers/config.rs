//! Where the other services are.

use std::net::SocketAddr;

use http::Uri;

use crate::config::Settings;

/// Addresses of the services, `http://host:port` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersConfig {
    /// `ORCHESTRATOR_URL`; several, separated by commas, where there are several processes.
    pub orchestrator: Vec<Uri>,
    /// `EXECUTION_URL`.
    pub execution: Uri,
    /// `AGENT_MANAGEMENT_URL`.
    pub management: Uri,
    /// `CONVERSATION_URL`.
    pub conversation: Uri,
    /// `EMBEDDING_URL`.
    pub embedding: Uri,
    /// `QUERY_URL`.
    pub query: Uri,
    /// `INGESTION_URL`.
    pub ingestion: Uri,
}

impl PeersConfig {
    /// All services in one process.
    pub fn all_at(address: SocketAddr) -> Self {
        // A process that listens on every address is reached by its own loopback.
        let host = match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
            _ => address.to_string(),
        };
        let uri = Uri::try_from(format!("http://{host}")).expect("an address is an authority");
        Self {
            orchestrator: vec![uri.clone()],
            execution: uri.clone(),
            management: uri.clone(),
            conversation: uri.clone(),
            embedding: uri.clone(),
            query: uri.clone(),
            ingestion: uri,
        }
    }

    /// Reads the settings; by default all services are at the default address of one process.
    pub fn read(settings: &mut Settings) -> Self {
        let here = Self::all_at(([127, 0, 0, 1], crate::host::DEFAULT_PORT).into());
        let orchestrator = settings.get("ORCHESTRATOR_URL", here.orchestrator.clone());
        if orchestrator.is_empty() {
            settings.reject("ORCHESTRATOR_URL", "names no address");
        }
        Self {
            orchestrator,
            execution: settings.get("EXECUTION_URL", here.execution),
            management: settings.get("AGENT_MANAGEMENT_URL", here.management),
            conversation: settings.get("CONVERSATION_URL", here.conversation),
            embedding: settings.get("EMBEDDING_URL", here.embedding),
            query: settings.get("QUERY_URL", here.query),
            ingestion: settings.get("INGESTION_URL", here.ingestion),
        }
    }

    /// Refuses addresses that promise what plain connections do not keep.
    pub(crate) fn refuse_https(&self, settings: &mut Settings) {
        let single = [
            ("EXECUTION_URL", &self.execution),
            ("AGENT_MANAGEMENT_URL", &self.management),
            ("CONVERSATION_URL", &self.conversation),
            ("EMBEDDING_URL", &self.embedding),
            ("QUERY_URL", &self.query),
            ("INGESTION_URL", &self.ingestion),
        ];
        let orchestrators = self.orchestrator.iter().map(|uri| ("ORCHESTRATOR_URL", uri));
        for (name, _) in orchestrators.chain(single).filter(|(_, uri)| uri.scheme_str() == Some("https")) {
            settings.reject(name, "https needs MESH_TLS_CERT, MESH_TLS_KEY and MESH_TLS_CA");
        }
    }
}
