//! Asking the API server whether a user has a right.

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::rights::Right;

/// Whether `user` has all of `rights`.
pub(super) async fn has_all(
    client: &Client,
    user: &UserInfo,
    rights: &[Right],
) -> Result<bool, kube::Error> {
    let asked = rights.iter().map(|right| has(client, user, right));
    let answers = futures::future::try_join_all(asked).await?;
    Ok(answers.into_iter().all(|answer| answer))
}

async fn has(client: &Client, user: &UserInfo, right: &Right) -> Result<bool, kube::Error> {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                verb: given(right.verb),
                group: given(&right.group),
                resource: given(&right.resource),
                namespace: given(&right.namespace),
                name: given(&right.name),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The ServiceAccount that the operator runs as; none if it is no ServiceAccount, or the API server
/// cannot say.
pub(crate) async fn own_account(client: &Client) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    match api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
    {
        Ok(review) => review
            .status
            .and_then(|status| status.user_info)
            .and_then(|user| user.username)
            .filter(|name| name.starts_with("system:serviceaccount:")),
        Err(error) => {
            tracing::warn!(%error, "the API server does not report who the operator is; its writes are recognized by their field managers only");
            None
        }
    }
}
