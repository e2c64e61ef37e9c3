//! Orchestrators that come and go behind one name.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action::TaskId;
use service_kit::{Peers, PeersConfig, Reach, Resolve};
use testkit::eventually;

use crate::client::Socket;
use crate::mesh::{Mesh, ms, quick};
use crate::socket::delta;

#[derive(Clone, Debug, Default)]
struct Names(Arc<Mutex<Vec<SocketAddr>>>);

impl Resolve for Names {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
        _: u16,
    ) -> std::pin::Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        let listed = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(listed) })
    }
}

async fn open(mesh: &Mesh, session: usize) -> Socket {
    let path = format!("/ws/session-{session}?tenant_id=pro-1&tier=professional");
    let mut socket = Socket::upgrade(mesh, &path, &[("x-api-key", "nbl_pro-1_key")]).await.unwrap();
    socket.expect("connection_ack").await;
    socket
}

#[tokio::test]
async fn sockets_follow_orchestrators_that_come_and_go_behind_one_name() {
    let (names, mut all) = (Names::default(), Vec::new());
    let mesh = Mesh::changed(quick(), |kit, orchestrators| {
        all = orchestrators.to_vec();
        *names.0.lock().unwrap() = vec![all[0]];
        let nowhere = PeersConfig::all_at(([127, 0, 0, 1], 1).into());
        let config = PeersConfig { orchestrator: vec!["http://orchestrator.mesh:1".parse().unwrap()], ..nowhere };
        let reach = Reach { resolver: Arc::new(names.clone()), resolve_every: ms(50), tls: None };
        kit.peers = Peers::reaching("gateway", kit.signer.clone(), &config, &reach);
    })
    .await;
    let mut sockets = Vec::new();
    for session in 0..4 {
        sockets.push(open(&mesh, session).await);
    }
    assert_eq!(mesh.orchestrator.streams(), 1);
    *names.0.lock().unwrap() = all.clone();
    // New sockets use the new one as soon as it is known.
    eventually(Duration::from_secs(5), || async {
        drop(open(&mesh, 9).await);
        mesh.orchestrator.streams() == 2
    })
    .await;
    for session in 4..8 {
        sockets.push(open(&mesh, session).await);
    }
    *names.0.lock().unwrap() = vec![all[1]];
    mesh.orchestrators[0].cancel();
    mesh.orchestrator.break_streams();
    eventually(Duration::from_secs(15), || async { mesh.orchestrator.followers() >= 8 }).await;
    let task = TaskId::new().to_string();
    for session in 0..8 {
        mesh.orchestrator.append("pro-1", &format!("session-{session}"), &task, delta(0, "still here"));
    }
    for socket in &mut sockets {
        assert_eq!(socket.expect("agent_delta").await["seq"], 1);
    }
}
