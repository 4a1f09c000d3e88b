# Sourced by the run_*.sh scripts beside it: reads their arguments and starts a program of the folder above.
#
#   run_train DEVICE "$@"               train.py in the background
#   run_distribute_train DEVICE "$@"    the same as WORKERS processes, started by msrun, on one machine or several
#   run_performance DEVICE "$@"         train.py for 100 timed steps, in front
#   run_eval DEVICE "$@"                eval.py, in front
#
# The positional arguments, as the usage shows them, are DEVICE_ID, which may be left out on a CPU, or WORKERS, and then
# those of arguments.sh. [X] may be left out. DEVICE_ID and WORKERS are numbers, X_DIR is a folder (X_DIR|FILE: or a
# file; X_DIR|PREPROCESS_DIR: or the prepared data), anything else a file. Each becomes an option of the program:
# ACLIMDB_DIR --aclimdb_path, CKPT --ckpt_path, DEVICE_ID --device_id.
set -euo pipefail

MODEL_DIR=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$MODEL_DIR/script/arguments.sh"
OPTIONS=() # for the program, from the positional arguments
EXTRA=()   # for the program, what came after --
WORKERS=1

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Seen from the caller's working directory, where the program runs as well.
absolute() {
    case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "${1#./}" ;; esac
}

is_number() { [[ $1 =~ ^[0-9]+$ ]]; }

usage() { # PROGRAM LOG ARGUMENTS
    cat <<END
Usage: bash $(basename "$0") $3 [-- OPTION...]

Paths are seen from the working directory. Options after -- go to $1 (python $1 --help lists them).
The output goes to ./$2.

Variables:
  PYTHON          the interpreter (default: the active virtual environment's, else python3)
  CKPT_DIR        folder of the checkpoints that a training writes (default: ./outputs)
END
    [[ $PREPARED != *$1* ]] || echo "  PREPROCESS_DIR  folder of the prepared data (default: ./preprocess)"
    cat <<END
  FOREGROUND=1    train in front: output to the terminal and the log, exit code of the program
  MASTER_PORT     port of a distributed training (default: 8118)
  NNODES          machines of a distributed training (default: 1), each with WORKERS processes; more than one need
  NODE_RANK       the number of this machine, from 0, and
  MASTER_ADDR     the address of machine 0
END
}

add_option() { # NAME VALUE
    local name=${1%%|*} option
    [[ $1 != *"|PREPROCESS_DIR" || ! -f $2/fingerprint.json ]] || name=PREPROCESS_DIR
    case $name in
        DEVICE_ID | WORKERS) is_number "$2" || fail "$name must be a number, not '$2'" ;;
        *_DIR)
            if [[ $1 == *"|FILE" ]]; then
                [ -e "$2" ] || fail "$name: there is no '$2' in $PWD"
            else
                [ -d "$2" ] || fail "$name: there is no folder '$2' in $PWD"
            fi
            ;;
        *) [ -f "$2" ] || fail "$name: there is no file '$2' in $PWD" ;;
    esac
    case $name in
        WORKERS)
            [ "$2" -gt 0 ] || fail "WORKERS must be at least 1"
            WORKERS=$2
            ;;
        DEVICE_ID) OPTIONS+=(--device_id "$2") ;;
        *)
            option=$(printf '%s' "${name%_DIR}" | tr '[:upper:]' '[:lower:]')
            OPTIONS+=("--${option}_path" "$(absolute "$2")")
            ;;
    esac
}

read_arguments() { # PROGRAM LOG ARGUMENTS "$@"
    local program=$1 log=$2 arguments=$3 given=() spare next=0 word name
    shift 3
    if [ $# -eq 0 ]; then
        usage "$program" "$log" "$arguments" >&2
        exit 2
    fi
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help)
                usage "$program" "$log" "$arguments"
                exit 0
                ;;
            --)
                shift
                EXTRA=("$@")
                break
                ;;
            -*) fail "unknown option '$1'; options for $program come after --" ;;
            *) given+=("$1") ;;
        esac
        shift
    done
    spare=${#given[@]} # how many optional arguments are given
    for word in $arguments; do
        [[ $word == \[* ]] || spare=$((spare - 1))
    done
    [ "$spare" -ge 0 ] || fail "too few arguments: bash $(basename "$0") $arguments"
    for word in $arguments; do
        name=${word#\[}
        name=${name%\]}
        if [[ $word == \[* ]]; then
            [ "$spare" -gt 0 ] || continue
            [ "$name" != DEVICE_ID ] || is_number "${given[next]}" || continue
            spare=$((spare - 1))
        fi
        add_option "$name" "${given[next]}"
        next=$((next + 1))
    done
    [ "$spare" -eq 0 ] || fail "one argument too many, '${given[next]}': bash $(basename "$0") $arguments"
}

# Sets INTERPRETER, the path of a Python that is there.
find_interpreter() {
    local name=${PYTHON:-${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}}
    INTERPRETER=$(command -v -- "${name:-python3}") || fail "there is no Python at '${name:-python3}': name one with PYTHON"
    INTERPRETER=$(absolute "$INTERPRETER")
}

# Default places of what a run writes, unless the arguments name them.
add_output_folders() { # PROGRAM
    [[ $PREPARED != *$1* || " ${OPTIONS[*]-} " == *" --preprocess_path "* ]] ||
        OPTIONS+=(--preprocess_path "$(absolute "${PREPROCESS_DIR:-preprocess}")")
    [ "$1" = eval.py ] || OPTIONS+=(--ckpt_path "$(absolute "${CKPT_DIR:-outputs}")")
}

# At Ctrl-C msrun would kill its processes, and take that for a success. In a process group of its own it does not get
# it; what it gets is SIGTERM, after which they save.
run_msrun() { # COMMAND...
    local process stop=
    trap 'stop=yes' INT TERM HUP
    set -m
    "$@" &
    process=$!
    set +m
    while kill -0 "$process" 2>/dev/null; do
        sleep 1 >/dev/null 2>&1 & # bash may hear of a signal only when what it waits for has ended
        wait $! || true
        [ -n "$stop" ] || continue
        stop=
        kill "$process" 2>/dev/null || true
    done
    wait "$process"
}

in_front() { # LOG COMMAND...
    local log=$PWD/$1 code
    [[ $2 != */msrun ]] || set -- "$1" run_msrun "${@:2}"
    set +e
    "${@:2}" 2>&1 | tee -i "$log" # -i: after Ctrl-C the program still has something to say
    code=${PIPESTATUS[0]}
    exit "$code"
}

in_background() { # LOG COMMAND...
    local log=$PWD/$1
    nohup "${@:2}" >"$log" 2>&1 </dev/null &
    echo "training runs in the background: process $!, log $log"
    echo "  how far it is:  grep 'loss is ' '$log' | tail -1"
    echo "  stop it:        kill $!"
}

start() { # LOG COMMAND...
    export PYTHONUNBUFFERED=1 # the log is to show a line when it is printed
    { : >"$1"; } 2>/dev/null || fail "cannot write $PWD/$1: run this where you may write"
    if [ "$1" != log.txt ] || [ "${FOREGROUND:-0}" = 1 ]; then
        in_front "$@"
    else
        in_background "$@"
    fi
}

prepare() { # PROGRAM LOG ARGUMENTS "$@"
    read_arguments "$@"
    find_interpreter
    add_output_folders "$1"
}

call() { # LOG DEVICE PROGRAM [OPTION...]: the program, with all options
    start "$1" "$INTERPRETER" "$MODEL_DIR/$3" --device_target "$2" \
        ${OPTIONS[@]+"${OPTIONS[@]}"} "${@:4}" ${EXTRA[@]+"${EXTRA[@]}"}
}

device_id() { # DEVICE: what its usage says
    if [ "$1" = CPU ]; then echo "[DEVICE_ID]"; else echo DEVICE_ID; fi
}

run_train() { # DEVICE "$@", like the three below
    prepare train.py log.txt "$(device_id "$1") $TRAIN_ARGUMENTS" "${@:2}"
    call log.txt "$1" train.py
}

run_performance() {
    prepare train.py performance_log.txt "$(device_id "$1") $TRAIN_ARGUMENTS" "${@:2}"
    call performance_log.txt "$1" train.py --performance_steps 100
}

run_eval() {
    prepare eval.py eval_log.txt "$(device_id "$1") $EVAL_ARGUMENTS" "${@:2}"
    call eval_log.txt "$1" eval.py
}

run_distribute_train() {
    local bin threads nodes=${NNODES:-1} node=0 address=127.0.0.1
    prepare train.py log.txt "WORKERS $TRAIN_ARGUMENTS" "${@:2}"
    is_number "$nodes" && [ "$nodes" -gt 0 ] || fail "NNODES must be a number from 1, not '$nodes'"
    # Without this a machine that was not told of the others would train alone
    [ "$nodes" -gt 1 ] || [ "${NODE_RANK:-0}" = 0 ] || fail "NODE_RANK is $NODE_RANK: set NNODES, the number of machines, too"
    if [ "$nodes" -gt 1 ]; then
        node=${NODE_RANK:-} address=${MASTER_ADDR:-}
        is_number "$node" && [ "$node" -lt "$nodes" ] || fail "NODE_RANK must be a number from 0 to $((nodes - 1)), not '$node'"
        [ -n "$address" ] || fail "$nodes machines need MASTER_ADDR, the address of machine 0"
    fi
    bin=$(dirname "$INTERPRETER")
    # msrun starts the workers as `python`, whichever the PATH finds: it must be the same one
    [ -x "$bin/python" ] || fail "msrun needs a command named python beside $INTERPRETER: use a virtual environment"
    [ -x "$bin/msrun" ] || fail "there is no msrun beside $INTERPRETER: install MindSpore there, or name another with PYTHON"
    export PATH="$bin:$PATH"
    threads=$(($(nproc) / WORKERS))
    export NATIVE_THREADS=${NATIVE_THREADS:-$((threads > 1 ? threads : 1))} # of the CPU kernels, in each process
    start log.txt "$bin/msrun" --worker_num=$((nodes * WORKERS)) --local_worker_num="$WORKERS" \
        --node_rank="$node" --master_addr="$address" --master_port="${MASTER_PORT:-8118}" \
        --join=True --tail_worker_log=$((node * WORKERS)) --log_dir="$PWD/msrun_log" \
        "$MODEL_DIR/train.py" --distributed true --device_target "$1" \
        ${OPTIONS[@]+"${OPTIONS[@]}"} ${EXTRA[@]+"${EXTRA[@]}"}
}
