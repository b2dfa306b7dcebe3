//! Without webhooks: what the API server refuses by itself, and what the controller makes of the
//! rest.

use anyhow::ensure;
use serde_json::json;

use super::creation::refused;
use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::objects::{jobset, role, with};
use crate::user::PatchKind;
use crate::world::World;

scenarios! { LIST, alone = true;
    "policy-rules": "policies refuse what the schema cannot" => policy_rules [AdmissionPolicy];
    "exclusive-withheld": "exclusive placement without webhooks is refused, or told of" => exclusive_withheld [AdmissionPolicy];
}

async fn policy_rules(world: &World) -> anyhow::Result<()> {
    let long = "a".repeat(64);
    refused(world.create(&jobset(&long, vec![role("w", 1)])).await, "63")?;
    let target = json!({"successPolicy": {"operator": "All", "targetReplicatedJobs": ["x"]}});
    let wrong = with(jobset("js", vec![role("w", 1)]), &target);
    refused(world.create(&wrong).await, "does not exist")?;
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    let more = json!([{"op": "add", "path": "/spec/replicatedJobs/-", "value": role("x", 1)}]);
    let changed = world.user.patch(Kind::JobSet, "js", PatchKind::Json, &more);
    refused(changed.await, "cannot be added")?;
    world.until_ready("js", 1).await
}

async fn exclusive_withheld(world: &World) -> anyhow::Result<()> {
    let mut object = jobset("js", vec![role("w", 2)]);
    object["metadata"]["annotations"] =
        json!({"alpha.jobset.sigs.k8s.io/exclusive-topology": crate::environment::RACK});
    refused(world.create(&object).await, "needs the Pod webhook")?;
    // As if it was older than the policy.
    let operator = world.environment.operator.lock().await;
    operator.without_policies().await?;
    let created = world.create(&object).await;
    operator.reinstall().await?;
    created?;
    let condition = world
        .until_condition("js", "ExclusivePlacementUnavailable", "True")
        .await?;
    check_eq!(condition["reason"], "PodWebhookDisabled", "reason");
    world.until_controller_has_looked().await?;
    world.look(|state| {
        let started = state
            .all(Kind::Job)
            .find(|(name, _)| name.starts_with("js-"));
        ensure!(started.is_none(), "{started:?}");
        Ok(())
    })
}
