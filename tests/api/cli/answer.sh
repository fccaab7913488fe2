# Answers a message, read from standard input as JSON, as its text says.
message=$(cat)
text=$(printf '%s' "$message" | sed 's/.*"text":"\([^"]*\)".*/\1/')
case $text in
    "upper "*) printf '%s\n' "${text#upper }" | tr a-z A-Z ;;
    json) printf '{"sender": "%s"}' "$EKHO_SENDER_ID" ;;
    second-time)
        if [ -e "$EKHO_MESSAGE_ID" ]; then
            echo the second time
        else
            touch "$EKHO_MESSAGE_ID"
            echo not the first time >&2
            exit 1
        fi
        ;;
    slow)
        touch "$EKHO_MESSAGE_ID"
        until [ -e go ]; do sleep 0.05; done
        echo too late
        ;;
    *) echo "what is $text?" >&2; exit 2 ;;
esac
