//! Operators on the QUIC port: who passes for one, and for what a certificate of one does not do.

use std::sync::Arc;

use forebay::transport::ConnectError;

use super::{
    hostile::{Proof, knock, raw_server, still_serves},
    *,
};

fn proof(identity: &OperatorIdentity) -> Proof {
    (identity.credentials().certificate().clone(), identity.credentials().key().clone_key())
}

fn stranger(outcome: Result<Box<dyn Connection>, ConnectError>) -> String {
    match outcome {
        Err(ConnectError::Stranger { found, .. }) => found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_operator_of_another_cluster_or_with_an_expired_certificate_is_refused() {
    bounded(async {
        let (ca, other) = (ClusterCa::generate().unwrap(), ClusterCa::generate().unwrap());
        let node = quic(&ca, "a");
        let told = stranger(operator_client(operator(&other, "ann")).connect(node.local_addr()).await);
        assert!(told.contains("its certificate was refused"), "{told}");
        // One who takes any server gets no further.
        let error = knock(&node, Some(proof(&operator(&other, "ann"))), b"forebay/1").await.to_string();
        assert!(error.contains("error 48: invalid peer certificate: UnknownIssuer"), "{error}");
        let expired = ca.issue_operator(&"ann".parse().unwrap(), Duration::ZERO).unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let told = stranger(operator_client(expired).connect(node.local_addr()).await);
        assert!(told.contains("certificate expired"), "{told}");
        still_serves(&ca, &node).await;
        assert!(node.refused() >= 3);
    })
    .await;
}

#[tokio::test]
async fn a_revoked_operator_is_told_so_and_others_are_let_in() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let revoked_operators = Arc::new(["ann".parse().unwrap()].into());
        let node = quic_with(&ca, "a", QuicOptions { revoked_operators, ..QuicOptions::default() });
        let refused = operator_client(operator(&ca, "ann")).connect(node.local_addr()).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Revoked { .. }), "{refused:?}");
        assert!(refused.to_string().ends_with("refuses these keys: operator `ann` is revoked on node a"), "{refused}");
        assert_eq!(node.refused(), 1);
        let client = operator_client(operator(&ca, "ben"));
        let (ours, theirs) = tokio::join!(client.connect(node.local_addr()), node.accept());
        ping(&[ours.unwrap(), theirs.unwrap()]).await;
        // It is the operator who is revoked, and no node of that name.
        let ends = connect(&quic(&ca, "ann"), &node).await;
        ping(&ends).await;
    })
    .await;
}

#[tokio::test]
async fn an_operators_certificate_makes_no_server() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let fake = raw_server(proof(&operator(&ca, "ann")), None, b"forebay/1");
        let addr = fake.local_addr().unwrap();
        let told = stranger(quic(&ca, "a").connect(addr).await);
        assert!(told.contains("its certificate was refused"), "{told}");
        let told = stranger(operator_client(operator(&ca, "ben")).connect(addr).await);
        assert!(told.contains("its certificate was refused"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn an_operator_keeps_to_its_share_of_connections() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let node = quic_with(&ca, "a", QuicOptions { connections_per_operator_max: 2, ..QuicOptions::default() });
        let client = operator_client(operator(&ca, "ann"));
        let mut all = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = tokio::join!(client.connect(node.local_addr()), node.accept());
            all.push([ours.unwrap(), theirs.unwrap()]);
        }
        let why = all[0][0].closed().await;
        assert_eq!(why, "closed by the peer: operator ann opened more than 2 connections (Duplicate)");
        ping(&all[1]).await;
        ping(&all[2]).await;
        client.close().await;
        assert_eq!(all[1][1].closed().await, "closed by the peer (Done)");
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_kept_while_an_answer_is_waited_for() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let idle_timeout = Duration::from_millis(800);
        let node = quic_with(&ca, "a", QuicOptions { idle_timeout, ..QuicOptions::default() });
        let options = QuicOptions { idle_timeout, ..QuicOptions::default() };
        let client = OperatorClient::bind(loopback(), operator(&ca, "ann"), options).unwrap();
        let (ours, theirs) = tokio::join!(client.connect(node.local_addr()), node.accept());
        let ends = [ours.unwrap(), theirs.unwrap()];
        tokio::time::sleep(4 * idle_timeout).await;
        ping(&ends).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_said_without_waiting() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let free = std::net::UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
        let began = std::time::Instant::now();
        let error = operator_client(operator(&ca, "ann")).connect(free).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    })
    .await;
}
