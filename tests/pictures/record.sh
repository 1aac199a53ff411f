#!/bin/sh
# Makes assets/story.recording anew: the real program, on a redis of its own, lives through a short story.
# Wants redis-server and redis-cli, and the program built (`cargo build`). Then draw the pictures from it:
#   tests/pictures/record.sh && UPDATE_PICTURES=1 cargo test --test pictures
set -eu
cd "$(dirname "$0")/../.."
out="$PWD/assets/story.recording"
bin="$PWD/${FULLSEND:-target/debug/fullsend}"
home=$(mktemp -d)
export HOME="$home" USER=mara LOGNAME=mara TZ=UTC REDIS_URL="unix://$home/redis.sock"
unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME ANTHROPIC_API_KEY GEMINI_API_KEY GOOGLE_API_KEY OPENAI_API_KEY 2>/dev/null || true
fullsend() { "$bin" --home "$home/state" --context "$home/context" "$@" 2>>"$home/said"; }
redis() { redis-cli -s "$home/redis.sock" "$@" >/dev/null; }
pids=""
trap 'kill $pids 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$home"' EXIT
trap 'exit 130' INT TERM

redis-server --port 0 --unixsocket "$home/redis.sock" --save '' --appendonly yes --dir "$home" >/dev/null &
pids="$!"
until redis-cli -s "$home/redis.sock" ping >/dev/null 2>&1; do sleep 0.1; done

# What the team knows already: what is sold, what was learned, and experiments that another program keeps there.
fullsend notes edit product_context - >/dev/null <<'TEXT'
# Product

Fullsend, a terminal control room for go-to-market teams. For CTOs of startups with 10 to 50 people. $49 a month.
TEXT
fullsend notes edit learnings - >/dev/null <<'TEXT'
# Strategic Learnings

## 2026-11-18

**CTOs answer, CFOs do not**
- 9% against 1%, 400 mails each

## 2026-11-20

**Event lists beat cold lists**
- 12% against 3%
TEXT
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
redis HSET experiments:exp_20261118_meetup state running version 1 name "Meetup speakers" created_at "$now" \
    hypothesis "People who spoke at meetups answer a mail about their talk" schedule "0 9 * * MON" key_metric response_rate
redis HSET experiments:exp_20261120_hn state running version 1 name "HN commenters" created_at "$now" \
    hypothesis "People who complained about CRMs on Hacker News answer" schedule "0 10 * * *" key_metric response_rate
redis HSET experiments:exp_20261115_forum state completed version 1 name "Forum questions" created_at "$now" \
    hypothesis "People who ask about self-hosting in forums answer a short mail"

"$bin" --home "$home/state" --context "$home/context" serve >>"$home/said" 2>&1 &
pids="$pids $!"
sleep 6
rm -f "$out"
"$bin" --home "$home/state" --context "$home/context" record "$out" >>"$home/said" 2>&1 &
recorder="$!"
pids="$pids $recorder"
sleep 3

number() { fullsend publish metrics "{\"event\":\"$2\",\"experiment_id\":\"$1\"$3}" >/dev/null; }
for at in 1 2 3 4 5 6 7 8; do
    number exp_20261118_meetup email_sent ""
    number exp_20261120_hn email_sent ""
    [ $((at % 3)) -ne 0 ] || number exp_20261118_meetup reply_received ',"reply":"Tell me more, we drown in spreadsheets."'
done
fullsend publish discord_raw 'What if we scraped people who starred competitor repos on GitHub and mailed their CTOs?' >/dev/null
sleep 4
fullsend approvals approve "$(fullsend approvals list | awk '/^apr_/ { print $1; exit }')" >/dev/null
sleep 2
number exp_20261118_meetup meeting_booked ',"value":1'
redis HSET "alerts:exp_20261120_hn:response_rate<5%" state triggered severity high experiment_id exp_20261120_hn \
    metric response_rate value 0.018 threshold 0.05 triggered_at "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    message "response_rate of exp_20261120_hn is 1.8%, below 5%, after 212 sends"
fullsend publish alerts '{"type":"alert_triggered","alert_id":"exp_20261120_hn:response_rate<5%","severity":"high","message":"response_rate of exp_20261120_hn is 1.8%, below 5%, after 212 sends","fix":"look at the replies, then kill the experiment or revise it","experiment_id":"exp_20261120_hn","criterion":"response_rate < 5% after 200 email_sent","metric":"response_rate","value":0.018,"threshold":0.05}' >/dev/null
fullsend publish to_orchestrator '{"type":"metric_alert","source":"redis_agent","experiment_id":"exp_20261120_hn","alert_type":"threshold_crossed","criterion":"response_rate < 5% after 200 email_sent","direction":"failure","metric":"response_rate","value":0.018,"threshold":0.05,"severity":"high","recommendation":"stop it","message":"response_rate is 1.8%, below 5%, after 212 sends","sample_size":212,"confidence":0.97}' >/dev/null
sleep 2
fullsend publish discord_raw 'How is the meetup campaign doing?' >/dev/null
sleep 2
fullsend publish discord_raw 'Idea: ask the CTOs who booked a meeting for one introduction each' >/dev/null
sleep 5
kill -INT "$recorder"
wait "$recorder" || true
# Who reads it need not know on which machine it was made.
sed -i "s/$(uname -n)/laptop/g" "$out"
! grep -q -e "$home" -e "$(id -un)@" "$out"
echo "wrote assets/story.recording: $(wc -l <"$out") lines"
