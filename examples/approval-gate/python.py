"""An agent asks before it does something risky. An operator agrees to one deployment and not to the
other; the agent reports what it did. ``./dev example approval-gate``"""

import threading

import ekho
from shared.rig import done, enrol, operator, tell


def decide():
    """An operator, who reads what waits and decides."""
    decided = set()
    while len(decided) < 2:
        for approval in operator("GET", "/v1/operator/approvals?limit=20")["approvals"]:
            if approval["status"] != "pending" or approval["id"] in decided:
                continue
            decided.add(approval["id"])
            word = "reject" if "friday" in approval["summary"].lower() else "approve"
            tell("operator", f"reads {approval['summary']!r}: {word}")
            operator("POST", f"/v1/operator/approvals/{approval['id']}/{word}", {"reason": "policy"})


def deploy(agent, build, when):
    action = {
        "conversation_id": "conv-release",
        "action_type": "deploy",
        "summary": f"Deploy build {build} on {when}",
        "risk_level": "high",
        "payload": {"build": build},
    }
    try:
        # Returns when the operator has agreed, raises where not.
        decision = agent.propose_action(action)
    except ekho.EkhoActionError as refused:
        tell("agent", f"does not deploy build {build}: {refused.code}")
        return False
    tell("agent", f"deploys build {build}")
    result = {"approval_id": decision.approval_id, "result": "executed", "output": {"build": build}}
    agent.report_action_result(result)
    return True


threading.Thread(target=decide, daemon=True).start()
hooks = ekho.AdapterHooks(on_approval_pending=lambda approval, _: tell("agent", f"waits: {approval}"))
with ekho.EkhoAgentAdapter(enrol("Deployer"), hooks) as deployer:
    # Nobody has to be asked about what is not risky.
    harmless = {"conversation_id": "conv-release", "action_type": "read", "summary": "Read the log"}
    allowed = deployer.propose_action({**harmless, "risk_level": "low", "payload": {}})
    tell("agent", f"reads the log: {allowed.decision}")
    outcomes = [deploy(deployer, 7, "Monday"), deploy(deployer, 8, "Friday")]
if outcomes != [True, False]:
    raise SystemExit(f"expected one deployment, got {outcomes}")
done()
