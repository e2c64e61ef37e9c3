use axum::body::to_bytes;

use super::guarded;

#[tokio::test]
async fn a_panic_is_a_problem_that_says_nothing_about_the_inside() {
    let response = guarded(|| async { panic!("the secret inside") }).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("\"INTERNAL\"") && !text.contains("secret"), "{text}");
}
