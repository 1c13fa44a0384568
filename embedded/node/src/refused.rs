//! What the API server says, in words for Events and states: the client's own way to print a
//! refusal ends in the fields of a Rust struct.

/// The sentence of a refusal, or what else went wrong with a request.
pub fn spoken(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(refusal) if !refusal.message.is_empty() => refusal.message.clone(),
        kube::Error::Api(refusal) => format!("the API server answered {}", refusal.code),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_message_alone() {
        let refusal = |message: &str| {
            let status = Status::failure(message, "Forbidden").with_code(403);
            kube::Error::Api(Box::new(status))
        };
        let quota = "pods \"j\" is forbidden: exceeded quota: small";
        assert_eq!(spoken(&refusal(quota)), quota);
        assert_eq!(spoken(&refusal("")), "the API server answered 403");
    }
}
