use action::TaskId;
use reqwest::Method;
use serde_json::json;

use crate::client::answer;
use crate::mesh::Mesh;

#[tokio::test]
async fn a_task_is_read_and_given_up_by_its_tenant_only() {
    let mesh = Mesh::start().await;
    let sent = mesh.send("pro-1", "professional").await;
    let id = sent.body["task_id"].as_str().unwrap().to_owned();
    let task = mesh.get(&format!("/api/v1/tasks/{id}"), "pro-1").await;
    assert_eq!(task.status, 200, "{}", task.body);
    assert_eq!(task.body["task_id"], id);
    assert_eq!(task.body["status"], "pending");
    assert_eq!(task.body["tenant_id"], "pro-1");
    assert_eq!(task.body["events"][0]["name"], "queued");
    mesh.get(&format!("/api/v1/tasks/{id}"), "other-1").await.problem(404, "TASK_NOT_FOUND", Some("task_id"));
    let cancel = |tenant: &str| {
        let request = mesh.request(Method::POST, &format!("/api/v1/tasks/{id}/cancel"));
        request.header("x-api-key", format!("nbl_{tenant}_key"))
    };
    answer(cancel("other-1")).await.problem(404, "TASK_NOT_FOUND", Some("task_id"));
    answer(cancel("pro-1").json(&json!({ "reason": 7 }))).await.problem(422, "INVALID_FIELD", Some("reason"));
    let cancelled = answer(cancel("pro-1").json(&json!({ "reason": "changed my mind" }))).await;
    assert_eq!((cancelled.status, cancelled.body["status"].as_str()), (200, Some("cancelled")), "{}", cancelled.body);
    answer(cancel("pro-1")).await.problem(409, "TASK_FINISHED", None);
}

#[tokio::test]
async fn tasks_that_are_not_there_and_ids_that_are_none_are_told_apart() {
    let mesh = Mesh::start().await;
    mesh.get(&format!("/api/v1/tasks/{}", TaskId::new()), "pro-1").await.problem(
        404,
        "TASK_NOT_FOUND",
        Some("task_id"),
    );
    for id in ["nope", "..%2f..", "%ff", "0192f0c1"] {
        let answer = mesh.get(&format!("/api/v1/tasks/{id}"), "pro-1").await;
        assert_eq!((answer.status, answer.body["reason"].as_str()), (400, Some("INVALID_REQUEST")), "{id}");
    }
    answer(mesh.request(Method::GET, "/api/v1/tasks/nope")).await.problem(401, "CREDENTIAL_REQUIRED", None);
}
