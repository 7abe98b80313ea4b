use axum::http::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{DeviceRole, Role};
use vault_proto::wire::path;

use crate::support::{Call, Draft, Organisation, Server};

/// A tablet in a consulting room, say: whoever walks off with it gets at nothing that its clinician can read.
#[tokio::test]
async fn a_device_without_auth_seals_and_does_nothing_else() {
    let organisation = Organisation::new(1);
    let [patient, stranger] = [10, 13].map(|seed| organisation.person(seed, Role::Patient));
    let [desk, other] = [11, 12].map(|seed| organisation.person(seed, Role::Clinician));
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &stranger, &desk, &other]).await;
    let tablet = desk.at_another_device(90, vec![DeviceRole::Seal]);
    // Its own word for its keys brings nobody in: that is the desk's.
    server.post(&tablet, path::ACCOUNTS, tablet.enrolment()).await.refused(ProblemCode::Forbidden);
    server.get(&tablet, path::last(&desk.account())).await.refused(ProblemCode::UnknownKey);
    server.post(&desk, path::ACCOUNTS, tablet.enrolment()).await.ok(200);
    server.post(&tablet, path::ACCOUNTS, tablet.enrolment()).await.refused(ProblemCode::Forbidden);

    let at_the_desk = Draft::new(&organisation, 1, &patient, &desk, &desk);
    let elsewhere = Draft::new(&organisation, 2, &stranger, &other, &other);
    let own = Draft::new(&organisation, 3, &patient, &tablet, &tablet);
    for draft in [&at_the_desk, &elsewhere] {
        server.finish(draft, 1000).await;
    }

    // What sealing takes.
    let found = format!("{}?prefix={}", path::ACCOUNTS, patient.account());
    for place in [found, path::account(&patient.account()), path::last(&desk.account())] {
        server.get(&tablet, place).await.ok(200);
    }
    server.create(&own).await;
    server.open(&own, 0).await.ok(201);
    let place = path::segment(&own.id(), 0);
    server.call(Call::new(&tablet.device, Method::DELETE, place, Vec::new())).await.ok(201);
    server.finish_from(&own, &own.parts(0, 1000)).await;
    let statements = [path::recording(&own.id()), path::parts(&own.id(), 0)];
    for place in statements {
        server.get(&tablet, place).await.ok(200);
    }

    // What its account reads, and it does not.
    for draft in [&own, &at_the_desk] {
        let content = [
            path::key(&draft.id(), 0),
            path::header(&draft.id(), 0),
            path::body(&draft.id(), 0),
            path::details(&draft.id()),
        ];
        for place in content {
            server.get(&desk, place.clone()).await.ok(200);
            server.get(&tablet, place).await.refused(ProblemCode::Forbidden);
        }
    }
    for place in [path::recording(&at_the_desk.id()), path::parts(&at_the_desk.id(), 0)] {
        server.get(&desk, place.clone()).await.ok(200);
        server.get(&tablet, place).await.refused(ProblemCode::Forbidden);
    }
    server.get(&tablet, path::RECORDINGS).await.refused(ProblemCode::Forbidden);
    let side = path::commitment(&patient.account());
    server.put(&tablet, side, vec![1; 32]).await.refused(ProblemCode::Forbidden);
    // Of what is not its account's it learns no more than anybody.
    server.get(&tablet, path::recording(&elsewhere.id())).await.refused(ProblemCode::NotFound);
    server.put(&tablet, path::details(&at_the_desk.id()), vec![1]).await.refused(ProblemCode::Forbidden);
}
