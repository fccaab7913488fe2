#!/usr/bin/env bash
# Sends a message by hand: enrols two agents, signs and sends a message from one to the other, polls
# the other's inbox and acks. Needs bash, curl, openssl, grep and sed; no jq.
#
#   docs/by-hand.sh                            sign in with the relay's credentials.json for tokens
#   docs/by-hand.sh FLEET_ID TOKEN [TOKEN]     use these enrolment tokens; with one token the agent
#                                              writes to itself
#
#   EKHO_BASE_URL   the relay; default: what credentials.json says, else http://127.0.0.1:4000
#   EKHO_DATA_DIR   where credentials.json is; default: data, beside docs
#
# openssl takes the key as an argument, so other users of this machine could read it in the list of
# processes. Fine for a look at the protocol; a program signs with a library.
set -euo pipefail
# A failure inside $(...) ends the script too; bash before 4.4 does not know this option.
shopt -s inherit_errexit 2>/dev/null || true

die() {
    echo "by-hand: $*" >&2
    exit 1
}

for tool in curl openssl grep sed date; do
    command -v "$tool" >/dev/null || die "$tool is missing"
done

# field NAME: the first "NAME": "text" in the JSON on standard input, escapes left as they are.
field() {
    local found
    found=$(grep -oE "\"$1\"[[:space:]]*:[[:space:]]*\"([^\"\\\\]|\\\\.)*\"" || true)
    found=${found%%$'\n'*}
    [ -n "$found" ] || die "no field $1 in the relay's answer"
    sed -E 's/^"[^"]*"[[:space:]]*:[[:space:]]*"(.*)"$/\1/' <<<"$found"
}

# The time now, in UTC with milliseconds; a date without %N gets whole seconds.
now() {
    local time
    time=$(date -u +%Y-%m-%dT%H:%M:%S.%3N)
    case $time in
        *N) time="${time%.*}.000" ;;
    esac
    echo "${time}Z"
}

# request METHOD TARGET BODY [HEADER...]: the answer's body. Any status but 2xx ends the script.
request() {
    local method=$1 target=$2 body=$3
    shift 3
    local headers=("accept: application/json" "$@")
    local arguments=(--silent --show-error --fail-with-body --max-time 30 --request "$method")
    if [ -n "$body" ]; then
        headers+=("content-type: application/json")
        arguments+=(--data-binary @-)
    fi
    # Body and headers go in by pipe: what is in them does not show in the list of processes.
    local answer
    if ! answer=$(printf %s "$body" |
        curl "${arguments[@]}" --header @<(printf '%s\n' "${headers[@]}") "$relay$target"); then
        die "$method $target: $answer"
    fi
    printf '%s\n' "$answer"
}

sha256_hex() { openssl dgst -sha256 -r | cut -d ' ' -f 1; }
hmac_sha256_hex() { openssl dgst -sha256 -hmac "$1" -r | cut -d ' ' -f 1; }

# signed AGENT_ID SECRET METHOD TARGET [BODY] [HEADER...]: a signed request. What was signed goes to
# standard error, so that it can be read along.
signed() {
    local agent_id=$1 secret=$2 method=$3 target=$4 body=${5-}
    shift 4
    [ $# -eq 0 ] || shift
    local timestamp nonce digest canonical signature
    timestamp=$(now)
    nonce=$(openssl rand -hex 16)
    digest=$(printf %s "$body" | sha256_hex)
    # The path without its query string; the five lines have no newline at the end.
    canonical=$(printf '%s\n%s\n%s\n%s\n%s' \
        "$method" "${target%%\?*}" "$timestamp" "$nonce" "$digest")
    signature=$(printf %s "$canonical" | hmac_sha256_hex "$secret")
    {
        echo "--- $method $target"
        printf '%s\n' "$canonical" | sed 's/^/    /'
        echo "    signature $signature"
    } >&2
    request "$method" "$target" "$body" \
        "x-ekho-agent-id: $agent_id" \
        "x-ekho-timestamp: $timestamp" \
        "x-ekho-nonce: $nonce" \
        "x-ekho-signature: $signature" \
        "$@"
}

# token: a fresh enrolment token, with the operator's session.
token() {
    local answer
    answer=$(request POST /v1/operator/enrollment-tokens '{}' "authorization: Bearer $session")
    field token <<<"$answer"
}

# enrol NAME TOKEN: the answer with the agent's id and secret. Enrolling is the one unsigned call.
enrol() {
    request POST /v1/enroll "{\"fleet_id\":\"$fleet_id\",\"token\":\"$2\",\
\"display_name\":\"$1\",\"runtime\":\"custom\"}"
}

# --- tokens -------------------------------------------------------------------------------------

relay=${EKHO_BASE_URL:-}
case $# in
    0)
        here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
        credentials="${EKHO_DATA_DIR:-$here/../data}/credentials.json"
        [ -r "$credentials" ] || die "cannot read $credentials: set EKHO_DATA_DIR, or pass FLEET_ID and tokens"
        relay=${relay:-$(field relay_url <"$credentials")}
        fleet_id=$(field fleet_id <"$credentials")
        fleet_name=$(field fleet_name <"$credentials")
        email=$(field email <"$credentials")
        password=$(field password <"$credentials")
        login=$(request POST /v1/operator/login \
            "{\"fleet_name\":\"$fleet_name\",\"email\":\"$email\",\"password\":\"$password\"}")
        session=$(field token <<<"$login")
        sender_token=$(token)
        recipient_token=$(token)
        ;;
    2 | 3)
        relay=${relay:-http://127.0.0.1:4000}
        fleet_id=$1
        sender_token=$2
        recipient_token=${3:-}
        ;;
    *) die "usage: by-hand.sh [FLEET_ID TOKEN [TOKEN]]" ;;
esac
relay=${relay%/}

# --- enrol --------------------------------------------------------------------------------------

answer=$(enrol "By hand, sender" "$sender_token")
sender=$(field agent_id <<<"$answer")
sender_secret=$(field secret <<<"$answer")
recipient=$sender
recipient_secret=$sender_secret
if [ -n "$recipient_token" ]; then
    answer=$(enrol "By hand, recipient" "$recipient_token")
    recipient=$(field agent_id <<<"$answer")
    recipient_secret=$(field secret <<<"$answer")
fi
echo "enrolled $sender and $recipient at $relay"

# --- send, poll, ack ----------------------------------------------------------------------------

# The body is signed as the bytes that are sent: not one space may differ.
message="{\"recipient\":{\"kind\":\"agent\",\"id\":\"$recipient\"},\"message_type\":\"direct\",\
\"body\":{\"text\":\"Sent by hand, with curl and openssl: déjà vu\"},\
\"conversation_id\":\"by-hand\",\"correlation_id\":\"by-hand-1\"}"
# With the same idempotency key this request could be repeated, signed anew, without a second message.
answer=$(signed "$sender" "$sender_secret" POST /v1/messages "$message" \
    "idempotency-key: $(openssl rand -hex 16)")
message_id=$(field message_id <<<"$answer")
echo "sent     $answer"

# The query string is not signed.
answer=$(signed "$recipient" "$recipient_secret" GET '/v1/inbox?wait=10&limit=1')
echo "received $answer"
received_id=$(field message_id <<<"$answer")
[ "$received_id" = "$message_id" ] || die "received $received_id instead of $message_id"

acks="{\"acks\":[{\"message_id\":\"$message_id\",\"status\":\"received\",\"received_at\":\"$(now)\"}]}"
answer=$(signed "$recipient" "$recipient_secret" POST /v1/acks "$acks")
echo "acked    $answer"

answer=$(signed "$sender" "$sender_secret" GET "/v1/messages/$message_id")
echo "state    $answer"
