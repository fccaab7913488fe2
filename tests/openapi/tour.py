"""Every operation once as it should be done, each answer held against the description.

What the tour does not reach it names, so an endpoint cannot be added without being shown here.
"""

import base64
import time

import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from relay import Operator, totp, SigningKey

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
WAIT_SECONDS = 30


class Tour:
    def __init__(self, relay):
        self.relay = relay
        schema = schemathesis.openapi.from_url(relay.url + "/openapi.json")
        results = (result.ok() for result in schema.get_all_operations())
        self.operations = {one.definition.raw["operationId"]: one for one in results}
        # Reading the description is a visit.
        self.visited = {"openapi"}
        credentials = relay.credentials()
        # Ids of what is there when the tour ends, by the part of a path before them.
        self.known = {"conversations": "tour"}
        self.login = {name: credentials[name] for name in ("fleet_name", "email", "password")}
        self.operator = Operator(relay.url, **self.login)

    def visit(self, name, by=None, status=200, path=None, query=None, body=None, headers=None):
        """Calls an operation; the answer has to be as described and have this status."""
        operation = self.operations[name]
        given = {"path_parameters": path, "query": query, "headers": headers}
        given = {part: value for part, value in given.items() if value is not None}
        if body is not None:
            given |= {"body": body, "media_type": "application/json"}
        case = operation.Case(**given)
        timeout = 1 if "stream" in name else WAIT_SECONDS
        response = case.call(base_url=self.relay.url, auth=by, timeout=timeout)
        if response.status_code != status:
            raise AssertionError(f"{name}: {response.status_code}, not {status}: {response.text}")
        case.validate_response(response, checks=CHECKS)
        self.visited.add(name)
        kind = response.headers.get("content-type", [""])[0]
        if kind.startswith("application/x-tar"):
            return response.content
        return response.json() if kind.startswith("application/json") else response.text

    def until(self, what, wanted):
        """Asks again until there is something."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            found = wanted()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {WAIT_SECONDS} s")
            time.sleep(0.05)

    def unvisited(self):
        return sorted(set(self.operations) - self.visited)

    def go(self):
        self.pages()
        self.people()
        self.other_ways_in()
        agents = self.agents()
        self.messages(*agents)
        self.attachments(*agents)
        self.actions(*agents)
        self.conversations(*agents)
        self.policies(*agents)
        self.hooks()
        self.dead_letters(*agents)
        self.keys(*agents)
        self.tasks(*agents)
        self.what_happened(*agents)
        self.steering(*agents)
        self.analytics(*agents)
        self.fleets()
        self.cluster()
        self.leave(*agents)
        return agents

    def pages(self):
        for page in ["root", "healthz", "readyz", "metrics", "docs"]:
            self.visit(page)

    def people(self):
        operator, visit = self.operator, self.visit
        visit("login", body=self.login)
        visit("login", body=self.login | {"cookie": True})
        visit("me", operator)
        token = visit("create_api_token", operator, 201, body={"name": "ci", "scopes": ["read"]})
        visit("list_sessions", operator)
        visit("end_session", operator, path={"id": token["id"]})
        visit("end_other_sessions", operator)
        visit("logout", Operator(self.relay.url, **self.login))
        new = {"email": "second@example.org", "password": "a long password", "role": "viewer"}
        made = visit("create_operator", operator, 201, body=new)
        path = {"id": made["operator_id"]}
        visit("list_operators", operator)
        visit("change_operator", operator, path=path, body={"role": "operator"})
        second = Operator(self.relay.url, self.login["fleet_name"], new["email"], new["password"])
        change = {"current_password": new["password"], "new_password": "a longer password"}
        visit("change_password", second, body=change)
        sessions = visit("list_sessions_of_operator", operator, path=path)["sessions"]
        for session in sessions:
            ended = path | {"session": session["id"]}
            visit("end_session_of_operator", operator, path=ended)
        visit("delete_operator", operator, path=path)
        settings = visit("get_settings", operator)
        visit("change_settings", operator, body={"session_ms": settings["session_ms"]})
        visit("change_settings", operator, body={"retry_backoff_ms": []})
        visit("change_fleet_settings", operator, body=visit("get_fleet_settings", operator))

    def other_ways_in(self):
        visit = self.visit
        new = {"email": "factor@example.org", "password": "a long password", "role": "viewer"}
        path = {"id": visit("create_operator", self.operator, 201, body=new)["operator_id"]}
        second = Operator(self.relay.url, self.login["fleet_name"], new["email"], new["password"])
        for _ in range(2):
            secret = visit("begin_totp", second, 201, body={"password": new["password"]})["secret"]
            codes = visit("confirm_totp", second, body={"totp_code": totp(secret)})["recovery_codes"]
            visit("totp", second)
            disable = {"password": new["password"], "recovery_code": codes[0]}
            visit("disable_totp", second, body=disable)
        visit("begin_totp", second, 201, body={"password": new["password"]})
        visit("reset_totp", self.operator, path=path)
        # No provider and no tailnet here: tests/api signs in by them.
        visit("sign_in_methods")
        visit("login_by_oidc", status=404)
        visit("oidc_callback", status=404, query={"state": "x", "code": "x"})
        visit("login_by_tailnet", status=404, body={}, headers={"x-ekho-csrf": "1"})

    def agents(self):
        operator, visit = self.operator, self.visit
        token = visit("create_enrollment_token", operator)["token"]
        new = {"fleet_id": operator.fleet_id, "token": token, "display_name": "A", "runtime": "custom"}
        visit("enroll", body=new | {"hostname": "here", "capabilities": ["write"]})
        first, second, third = (operator.enrol(name) for name in ["first", "second", "third"])
        visit("heartbeat", first, body={"status": "healthy", "metrics": {"load": 1}})
        own = SigningKey(self.relay.directory.name).public
        self.known["keys"] = visit("register_identity_key", first, body={"public_key": own})["key_id"]
        visit("rotate_credentials", third, body={"overlap_seconds": 600})
        return first, second, third

    def message(self, to, **more):
        return {
            "recipient": {"kind": "agent", "id": to.id},
            "message_type": "direct",
            "body": {"text": "hello there"},
            "conversation_id": "tour",
            "correlation_id": "tour",
        } | more

    def received(self, agent):
        return self.until("message", lambda: self.visit("poll_inbox", agent, query={"wait": 5})["messages"])

    def messages(self, first, second, third):
        visit = self.visit
        sent = visit("send_message", first, body=self.message(second), headers={"Idempotency-Key": "1"})
        visit("send_message", first, body=self.message(second), headers={"Idempotency-Key": "1"})
        batch = [self.message(second), self.message(third), self.message(second, recipient={"kind": "agent", "id": "nobody"})]
        visit("send_messages", first, body={"messages": batch})
        visit("get_message", first, path={"id": sent["message_id"]})
        visit("stream_inbox", third)
        got = [message["message_id"] for message in self.received(second)]
        visit("extend_leases", second, body={"leases": [{"message_id": got[0], "extend_seconds": 60}]})
        visit("ack", second, body={"acks": [{"message_id": got[0]}]})
        later = visit("send_message", first, body=self.message(second, delay_seconds=600))
        visit("cancel_message", first, path={"id": later["message_id"]})

    def attachments(self, first, second, third):
        operator, visit = self.operator, self.visit
        text = b"what this is about"
        new = {"filename": "about.bin", "mime": "application/octet-stream", "size_bytes": len(text)}
        new["data_base64"] = base64.b64encode(text).decode()
        made = visit("create_attachment", first, 201, body=new)
        path = {"id": made["id"]}
        visit("get_attachment", first, path=path)
        visit("get_attachment", first, 206, path=path, headers={"Range": "bytes=5-8"})
        visit("get_attachment", first, 304, path=path, headers={"If-None-Match": f'"{made["sha256"]}"'})
        visit("get_attachment", second, 404, path=path)
        visit("send_message", first, body=self.message(second, attachment_ids=[made["id"]]))
        visit("get_attachment", second, path=path)
        made = visit("create_attachment_as_operator", operator, 201, body=new)
        visit("get_attachment_as_operator", operator, path={"id": made["id"]})
        send = {"recipient_agent_id": second.id, "text": "see", "attachment_ids": [made["id"]]}
        visit("send_operator_message", operator, body=send)
        visit("list_attachments", operator, query={"limit": 1})
        visit("get_attachment_settings", operator)
        visit("change_attachment_settings", operator, body={"attachment_unbound_ms": 86_400_000})
        visit("create_attachment", first, 415, body=new | {"mime": "image/png"})
        # A message keeps it for those who come after.
        self.known["attachments"] = path["id"]

    def actions(self, first, second, third):
        operator, visit = self.operator, self.visit
        action = {"conversation_id": "tour", "action_type": "deploy", "summary": "Deploy", "risk_level": "high"}
        visit("propose_action", first, body=action | {"risk_level": "low"})
        asked = visit("propose_action", first, body=action | {"payload": {"build": 7}})
        path = {"id": asked["approval_id"]}
        visit("get_action", first, path=path)
        visit("list_approvals", operator, query={"status": "pending", "limit": 1})
        visit("get_approval", operator, path=path)
        visit("approve", operator, path=path, body={"reason": "go"})
        report = {"approval_id": path["id"], "result": "executed", "output": [1]}
        visit("report_action", first, body=report)
        visit("list_approvals", operator)
        asked = visit("propose_action", first, body=action)
        visit("reject", operator, path={"id": asked["approval_id"]}, body={})
        visit("poll_inbox", first)

    def conversations(self, first, second, third):
        visit = self.visit
        visit("create_room", first, 201, body={"name": "room", "member_agent_ids": [second.id]})
        visit("notice", first, body={"conversation_id": "tour", "reason": "loop", "pending_count": 1})
        visit("list_identity_keys", first, path={"id": second.id})
        # Any 32 bytes are an X25519 key.
        visit("publish_encryption_key", second, body={"public_key": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="})
        visit("list_encryption_keys", first, path={"id": second.id})
        visit("revoke_encryption_key", second)
        visit("list_operator_keys", first)
        visit("list_peers", first, query={"search": "s", "limit": 2})
        visit("list_conversation_messages", first, path={"id": "tour"})
        visit("acquire_floor", first, path={"id": "tour"}, body={"ttl_seconds": 60})
        visit("release_floor", first, path={"id": "tour"})

    def policies(self, first, second, third):
        operator, visit = self.operator, self.visit
        rule = {"action": "deny", "conditions": {"message_type": ["alert"], "priority": "urgent"}}
        draft = {"name": "no alarms", "scope_kind": "fleet", "rule": rule}
        path = {"id": visit("create_policy", operator, 201, body=draft)["policyId"]}
        visit("change_policy", operator, path=path, body=draft | {"dry_run": True})
        visit("list_policies", operator)
        visit("get_policy", operator, path=path)
        visit("list_policy_versions", operator, path=path)
        visit("roll_back_policy", operator, path=path, body={"version": 1})
        asked = {"sender_agent_id": first.id, "message_type": "alert", "priority": "urgent"}
        visit("preview_policies", operator, body=asked)
        visit("preview_policies", operator, body=asked | {"draft": draft | {"name": "not yet"}})
        visit("export_policies", operator)
        visit("import_policies", operator, query={"dry_run": "true"}, body={"policies": [draft | {"name": "imported"}]})
        visit("delete_policy", operator, path=path)
        visit("label_agent", operator, path={"id": first.id}, body={"labels": ["writer"]})

    def hooks(self):
        operator, visit = self.operator, self.visit
        # Nobody is there, and switched off nobody is asked.
        new = {"name": "nobody", "url": "http://127.0.0.1:1/", "events": ["before_message"], "enabled": False}
        path = {"id": visit("create_hook", operator, 201, body=new)["hook_id"]}
        visit("list_hooks", operator)
        visit("get_hook", operator, path=path)
        visit("change_hook", operator, path=path, body={"on_failure": "open"})
        visit("rotate_hook_secret", operator, path=path, body={"overlap_seconds": 60})
        tried = visit("test_hook", operator, path=path)
        assert not tried["ok"], tried
        visit("get_hook_status", operator, path=path)
        visit("delete_hook", operator, path=path)
        self.known["hooks"] = visit("create_hook", operator, 201, body=new)["hook_id"]

    def dead_letters(self, first, second, third):
        operator, visit = self.operator, self.visit
        for order, count in [("redrive", "redriven"), ("purge", "purged")]:
            visit("send_message", first, body=self.message(second, message_type="handoff"))
            got = self.received(second)
            nacks = [{"message_id": message["message_id"], "reason": "broken"} for message in got]
            visit("nack", second, body={"nacks": nacks})
            letters = self.until("dead letter", lambda: visit("list_dead_letters", operator)["dead_letters"])
            visit("get_dead_letter", operator, path={"id": letters[0]["id"]})
            visit("list_dead_letter_reasons", operator)
            visit("export_dead_letters", operator)
            done = visit(f"{order}_dead_letters", operator, body={"all": True})
            assert done[count] > 0, done

    def keys(self, first, second, third):
        operator, visit, form = self.operator, self.visit, "ekho-operator-key-v1"
        me = visit("me", operator)["operator_id"]
        root, other = (SigningKey(self.relay.directory.name) for _ in range(2))

        def register(key, is_root):
            proof = key.sign(form, "register", operator.fleet_id, me, key.public)
            new = {"name": "mine", "public_key": key.public, "proof": proof, "root": is_root}
            return visit("register_key", operator, 201, body=new)["key_id"]

        by, endorsed = register(root, True), register(other, False)
        signature = root.sign(form, "endorse", operator.fleet_id, by, endorsed, other.public)
        vouched = {"endorsed_by_key_id": by, "signature": signature}
        visit("endorse_key", operator, path={"id": endorsed}, body=vouched)
        visit("list_keys", operator)
        visit("get_key", operator, path={"id": endorsed})
        operator.enrol("fifth")
        visit("list_agent_keys", operator, path={"id": first.id})
        of_agent = {"id": first.id, "key": self.known["keys"]}
        visit("revoke_agent_key", operator, path=of_agent, body={"reason": "tour"})
        visit("revoke_key", operator, path={"id": endorsed}, body={"reason": "tour"})
        visit("list_revoked_keys", operator)
        self.known["keys"] = by

    def tasks(self, first, second, third):
        operator, visit = self.operator, self.visit
        card = {"description": "Reviews", "skills": [{"id": "r", "name": "R", "description": "r", "tags": []}]}
        visit("put_agent_card", second, body=card)
        made = visit("create_a2a_client", operator, 201, body={"name": "planner", "agents": [second.id]})
        path = {"id": made["client_id"]}
        visit("list_a2a_clients", operator, query={"limit": 1})
        visit("change_a2a_client", operator, path=path, body={"rate_max_messages": 10})
        more = visit("create_a2a_token", operator, 201, path=path, body={})
        visit("revoke_a2a_token", operator, path=path | {"token_id": more["token_id"]})
        visit("get_a2a_client", operator, path=path)
        task = {"id": self.relay.asks(made["token"], second)}
        self.received(second)
        visit("get_task", second, path=task)
        visit("set_task_status", second, path=task, body={"state": "working", "message": "a moment"})
        artifact = {"artifact": {"artifactId": "a", "parts": [{"text": "there"}]}, "last_chunk": True}
        visit("add_task_artifact", second, path=task, body=artifact)
        visit("set_task_status", second, path=task, body={"state": "completed"})
        visit("list_a2a_tasks", operator, query={"limit": 1, "state": "completed"})
        visit("get_a2a_task", operator, path=task, query={"after": 1})
        newest = visit("list_events", operator, query={"limit": 1})["events"][0]
        visit("get_event", operator, path={"id": newest["id"]})
        visit("list_a2a_pushes_given_up", operator)
        # Nothing is given up within the time of a test.
        nothing = task | {"config_id": "none"}
        visit("retry_a2a_push", operator, 404, path=nothing)
        remote = {"card_url": "https://example.com/card.json"}
        made_remote = visit("create_a2a_remote", operator, 201, body=remote | {"name": "elsewhere"})
        visit("list_a2a_remotes", operator)
        remote |= {"scheme": "Bearer", "credentials": "secret"}
        visit("change_a2a_remote", operator, path={"id": made_remote["agent_id"]}, body=remote)
        self.known["clients"] = made["client_id"]
        left = visit("create_a2a_client", operator, 201, body={"name": "left"})
        self.known["tasks"] = self.relay.asks(left["token"], first)

    def what_happened(self, first, second, third):
        operator, visit = self.operator, self.visit
        visit("get_overview", operator)
        visit("list_events", operator, query={"type": "message", "limit": 100})
        visit("list_events", operator)
        visit("stream_events", operator)
        visit("get_activity", operator)
        visit("get_topology", operator, query={"window_minutes": 5})
        visit("get_fleet_health", operator)
        visit("get_audit_head", operator)
        visit("export_audit", operator, query={"from": 1})
        visit("take_backup", operator, query={"label": "tour"})
        visit("list_conversations", operator)
        visit("get_conversation", operator, path={"id": "tour"})
        found = visit("search_messages", operator, query={"q": "hello"})["messages"]
        visit("get_message_as_operator", operator, path={"id": found[0]["id"]})
        rooms = visit("list_rooms", operator)["rooms"]
        visit("list_rooms", operator, query={"ids": rooms[0]["id"]})
        of_one = {"agent_id": first.id, "limit": 2}
        visit("list_messages_of_agent", operator, query=of_one)
        visit("list_messages_of_agent", operator, query=of_one | {"direction": "received"})

    def steering(self, first, second, third):
        operator, visit = self.operator, self.visit
        new = {"recipient_agent_id": second.id, "text": "listen", "metadata": {"a": 1}}
        send = lambda: visit("send_operator_message", operator, body=new)["message_id"]
        why = {"to_agent_id": third.id, "reason": "away"}
        visit("cancel_message_as_operator", operator, path={"id": send()})
        visit("redirect_message", operator, path={"id": send()}, body=why)
        send()
        visit("redirect_inbox", operator, path={"id": second.id}, body=why)
        visit("list_agents", operator, query={"sortBy": "display_name", "limit": 2})
        visit("list_waiting_messages", operator, path={"id": second.id})
        visit("list_rate_violations", operator, path={"id": second.id})
        for order in ["pause", "quarantine", "resume"]:
            visit(f"{order}_agent", operator, path={"id": second.id}, body={"reason": "tour"})
        visit("get_agent", operator, path={"id": second.id})
        visit("issue_agent_secret", operator, path={"id": third.id})
        self.imports(first)
        visit("revoke_agent", operator, path={"id": third.id}, body={"reason": "tour"})
        visit("list_agents", operator)

    def imports(self, first):
        digits = lambda last: "0" * 31 + last
        soon = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 60))
        delivery = {"agent_id": first.id, "given_up": {"reason": "timeout", "retries": 5}}
        rows = [
            {"kind": "operator", "id": "opr_old", "email": "old@example.org", "role": "viewer", "password_sha256": "0" * 64},
            {"kind": "agent", "id": "agent_old", "display_name": "old", "runtime": "custom", "secrets": [{"sha256": "0" * 64}]},
            {"kind": "room", "id": "room_old", "name": "old", "member_agent_ids": ["agent_old", first.id]},
            {"kind": "policy", "id": "pol_old", "name": "old", "scope_kind": "fleet", "rule": {"action": "allow"}},
            {"kind": "approval", "id": "apr_" + digits("1"), "agent_id": "agent_old", "action_type": "deploy", "summary": "s", "risk_level": "high", "status": "pending"},
            self.message(first) | {"kind": "message", "id": "msg_" + digits("2"), "sender_agent_id": "agent_old", "created_at": soon, "expires_at": soon, "deliveries": [delivery]},
        ]
        outcomes = lambda: [one["outcome"] for one in self.visit("import_rows", self.operator, body={"rows": rows})["results"]]
        for expected in ["imported", "exists"]:
            found = outcomes()
            assert found == [expected] * 6, found

    def analytics(self, first, second, third):
        operator, visit = self.operator, self.visit
        for form in ["json", "csv", "jsonl"]:
            visit("analytics_throughput", operator, query={"format": form})
            visit("analytics_agents", operator, query={"format": form, "by": "sent"})
            visit("analytics_pairs", operator, query={"format": form, "sender_agent_id": first.id})

    def fleets(self):
        operator, visit = self.operator, self.visit
        visit("install_license", operator, body={"key": self.relay.issued})
        visit("get_license", operator)
        visit("remove_license", operator)
        new = {"name": "other", "owner_email": "other@example.org", "owner_password": "a long password"}
        path = {"id": visit("create_fleet", operator, 201, body=new)["fleet_id"]}
        visit("rename_fleet", operator, path=path, body={"name": "another"})
        visit("archive_fleet", operator, path=path, body={"name": "another"})
        visit("restore_fleet", operator, path=path)
        visit("get_fleet", operator, path=path)
        visit("list_fleets", operator)
        self.known["fleets"] = path["id"]

    def cluster(self):
        """A node that is alone can be asked everything and spared for nothing."""
        operator, visit = self.operator, self.visit
        visit("get_cluster", operator)
        made = visit("create_join_token", operator, 201, body={"part": "learner"})
        visit("list_join_tokens", operator)
        visit("delete_join_token", operator, path={"id": made["id"]})
        visit("transfer_leadership", operator, body={"node_id": 1})
        visit("promote_node", operator, path={"id": "1"})
        for refused in ["demote_node", "drain_node", "remove_node"]:
            visit(refused, operator, 409, path={"id": "1"})
        keys = visit("get_master_secret", operator)
        assert keys["nodes"] == [{"node_id": 1, "reachable": True, "key_ids": [keys["key_id"]]}], keys
        visit("rotate_master_secret", operator, 409)
        visit("get_log_filter", operator)
        changed = visit("change_log_filter", operator, body={"filter": "warn,openraft=error", "seconds": 60})
        assert changed["audited"], changed
        visit("reset_log_filter", operator)
        visit("get_threads", operator, query={"seconds": 1})
        visit("get_memory", operator)
        visit("get_runtime", operator)
        self.known["nodes"] = "1"
        self.known["tokens"] = visit("create_join_token", operator, 201, body={})["id"]

    def leave(self, first, second, third):
        """Leaves something of everything behind, for those who come after."""
        operator, visit = self.operator, self.visit
        self.known["agents"] = operator.enrol("fourth").id
        waits = self.message(second, requires_approval=True)
        self.known["messages"] = visit("send_message", first, body=waits)["message_id"]
        action = {"conversation_id": "tour", "action_type": "a", "summary": "s", "risk_level": "high"}
        asked = visit("propose_action", first, body=action)["approval_id"]
        self.known |= {"actions": asked, "approvals": asked}
        draft = {"name": "left", "scope_kind": "fleet", "rule": {"action": "allow"}, "enabled": False}
        self.known["policies"] = visit("create_policy", operator, 201, body=draft)["policyId"]
        hook = {"name": "left", "url": "http://127.0.0.1:1/", "events": ["overview"], "enabled": False}
        self.known["hooks"] = visit("create_hook", operator, 201, body=hook)["hook_id"]
        new = {"email": "left@example.org", "password": "a long password", "role": "viewer"}
        self.known["operators"] = visit("create_operator", operator, 201, body=new)["operator_id"]
        path = {"id": self.known["operators"]}
        Operator(self.relay.url, self.login["fleet_name"], new["email"], new["password"])
        sessions = visit("list_sessions_of_operator", operator, path=path)["sessions"]
        self.known["sessions"] = sessions[0]["id"]
        visit("send_message", first, body=self.message(second, message_type="claim"))
        got = self.received(second)
        visit("nack", second, body={"nacks": [{"message_id": one["message_id"]} for one in got]})
        letters = self.until("dead letter", lambda: visit("list_dead_letters", operator)["dead_letters"])
        self.known["dead-letters"] = letters[0]["id"]
