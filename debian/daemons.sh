# The daemons that run, by their titles: what the init script calls them, and their numbers. It is
# not asked: the site may have kept one of 2.2's, which looks for an executable.
daemons() {
    for file in /run/perdition*/*.pid; do
        pid=
        [ ! -f "$file" ] || read -r pid <"$file" || true
        case $pid in
        '' | *[!0-9]*) continue ;;
        esac
        name=$(basename "$file" .pid)
        case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) in
        "$name: daemon"*) echo "$name $pid" ;;
        esac
    done
}

# End those that an init script has left, and wait for that.
end_daemons() {
    daemons | while read -r name pid; do
        kill -TERM "$pid" 2>/dev/null || true
        tenths=300
        while [ -d "/proc/$pid" ] && [ $tenths -gt 0 ]; do
            tenths=$((tenths - 1))
            sleep 0.1
        done
    done
}
