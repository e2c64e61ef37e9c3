//! Pages of other origins.

use gateway::Origins;
use reqwest::Method;

use crate::client::{Socket, answer};
use crate::mesh::{Mesh, quick};

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

async fn mesh(origins: Origins) -> Mesh {
    Mesh::with(gateway::Config { allowed_origins: origins, ..quick() }).await
}

fn listed() -> Origins {
    Origins::Listed(vec![APP.to_owned()])
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_and_read_what_they_need() {
    let mesh = mesh(listed()).await;
    let preflight = mesh
        .request(Method::OPTIONS, "/api/chat/send")
        .header("origin", APP)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-tenant-id,traceparent");
    let allowed = answer(preflight).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, APP));
    assert!(allowed.header("access-control-allow-methods").contains("POST"));
    assert_eq!(allowed.header("access-control-allow-headers"), "authorization,x-tenant-id,traceparent");
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    assert!(!allowed.header("x-request-id").is_empty(), "it is seen as every request is");
    // Also of a refusal.
    let refused = answer(mesh.request(Method::POST, "/api/chat/send").header("origin", APP)).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, APP));
    for exposed in
        ["ratelimit", "ratelimit-policy", "x-ratelimit-reset", "retry-after", "traceresponse", "x-request-id"]
    {
        assert!(refused.header("access-control-expose-headers").split(',').any(|name| name == exposed), "{exposed}");
    }
    assert!(refused.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("origin")));
    let foreign = answer(mesh.request(Method::GET, "/health").header("origin", EVIL)).await;
    assert_eq!(foreign.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn by_default_no_other_origin_may_and_a_star_must_be_given() {
    let none = mesh(Origins::Own).await;
    let preflight = |mesh: &Mesh| {
        mesh.request(Method::OPTIONS, "/api/chat/send")
            .header("origin", APP)
            .header("access-control-request-method", "POST")
    };
    let refused = answer(preflight(&none)).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, ""));
    let any = mesh(Origins::Any).await;
    let allowed = answer(preflight(&any)).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "*");
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn a_socket_is_opened_by_allowed_pages_and_by_who_has_none() {
    let mesh = mesh(listed()).await;
    let path = "/ws/session-1?tenant_id=pro-1&tier=professional";
    let own = format!("http://{}", mesh.http);
    let key = ("x-api-key", "nbl_pro-1_key");
    for origin in [None, Some(APP), Some(own.as_str())] {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().chain([key]).collect();
        Socket::upgrade(&mesh, path, &headers).await.expect("allowed").expect("connection_ack").await;
    }
    for origin in [EVIL, "null", "https://app.example.evil.example"] {
        let refused = Socket::upgrade(&mesh, path, &[key, ("origin", origin)]).await.err().expect("refused");
        assert_eq!((refused.0, refused.1["reason"].as_str()), (403, Some("ORIGIN_NOT_ALLOWED")), "{origin}");
    }
}
