/*
 * stub.c - a cheap IMAP4rev1 and POP3 server, to stand behind the proxies under measurement.
 *
 *   stub IMAP_PORT POP3_PORT
 *
 * One thread and epoll. Every log-in succeeds. A message has the size that is asked for:
 *
 *   IMAP   FETCH 1 BODY[]<0.N>   a literal of N octets
 *          APPEND box {N}        N octets are read and dropped
 *   POP3   RETR K                K KiB
 *
 * Commands may be pipelined. While output waits for the peer, its input is not read. It
 * prints LISTENING once it listens on 127.0.0.1, and serves until a signal ends it.
 */
#define _GNU_SOURCE
#include "octets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_LIMIT 16384
#define BODY_SIZE (512 * 1024)      /* most octets of a message in one send() */
#define TURN 4                      /* such sends before the others have their turn */
#define CAPABILITIES "IMAP4rev1 LITERAL+ SASL-IR IDLE UIDPLUS AUTH=PLAIN"

enum kind { IMAP_LISTENER, POP3_LISTENER, IMAP, POP3 };
/* What the next line is: a command; the rest of one, after a literal; SASL; the end of IDLE. */
enum expected { COMMAND, REST, SASL, DONE };

struct connection {
    int fd;
    enum kind kind;
    enum expected expected;
    uint32_t events;
    int closing;
    int answers;                /* how many SASL lines are still to come */
    char reply[160];            /* to the command that a literal or SASL completes */
    struct octets in, out;
    uint64_t swallow;           /* octets of a literal still to come */
    uint64_t body;              /* octets of a message still to send */
    unsigned body_offset;       /* where in the pattern the message is */
    char after_body[96];
};

static int epoll;
static char pattern[BODY_SIZE + 64], waste[256 * 1024];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

__attribute__((format(printf, 2, 3)))
static void say(struct connection *c, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    octets_add(&c->out, text, size < (int)sizeof text ? size : (int)sizeof text - 1);
}

static void watch(struct connection *c, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (c->events != events && epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event))
        die("epoll_ctl");
    c->events = events;
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* Send what there is: 1 all is gone, 0 some is left, -1 the connection has ended. */
static int flush(struct connection *c)
{
    for (int turn = 0; turn < TURN;) {
        const void *data = octets_first(&c->out);
        size_t size = octets_size(&c->out);
        int is_body = !size && c->body;
        if (is_body) {
            data = pattern + c->body_offset;
            size = c->body < BODY_SIZE ? c->body : BODY_SIZE;
            turn++;
        } else if (!size) {
            return 1;
        }
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL | (c->body ? MSG_MORE : 0));
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (!is_body) {
            octets_drop(&c->out, sent);
            continue;
        }
        c->body -= sent;
        c->body_offset = (c->body_offset + sent) % 64;
        if (!c->body)
            say(c, "%s", c->after_body);
    }
    return 0;
}

static void send_body(struct connection *c, uint64_t size)
{
    c->body = size;
    c->body_offset = 0;
}

/* A line that ends with {N} or {N+} is continued after N octets. */
static int begins_literal(struct connection *c, const char *line, size_t size)
{
    if (size < 3 || line[size - 1] != '}')
        return 0;
    size_t digits = size - 1;
    int is_announced = line[digits - 1] != '+';
    digits -= !is_announced;
    while (digits > 0 && isdigit((unsigned char)line[digits - 1]))
        digits--;
    if (!digits || line[digits - 1] != '{' || !isdigit((unsigned char)line[digits]))
        return 0;
    c->swallow = strtoull(line + digits, NULL, 10);
    c->expected = REST;
    if (is_announced)
        say(c, "+ OK\r\n");
    return 1;
}

static void complete(struct connection *c)
{
    say(c, "%s", c->reply);
    c->expected = COMMAND;
}

static void take_command(struct connection *c, char *line, size_t size)
{
    char tag[40] = "", name[16] = "";
    int used = 0;
    if (sscanf(line, "%39s %15s %n", tag, name, &used) < 2) {
        say(c, "* BAD no command\r\n");
        return;
    }
    const char *arguments = line + used;
    int is = 1;
    if (!strcasecmp(name, "NOOP")) {
        say(c, "%s OK NOOP completed\r\n", tag);
    } else if (!strcasecmp(name, "FETCH")) {
        const char *dot = strchr(arguments, '.');
        unsigned long long octets = dot ? strtoull(dot + 1, NULL, 10) : 64;
        say(c, "* 1 FETCH (BODY[]<0> {%llu}\r\n", octets);
        snprintf(c->after_body, sizeof c->after_body, ")\r\n%s OK FETCH completed\r\n", tag);
        send_body(c, octets);
    } else if (!strcasecmp(name, "IDLE")) {
        snprintf(c->reply, sizeof c->reply, "%s OK Idle completed\r\n", tag);
        c->expected = DONE;
        say(c, "+ idling\r\n");
    } else if (!strcasecmp(name, "CAPABILITY")) {
        say(c, "* CAPABILITY " CAPABILITIES "\r\n%s OK Capability completed\r\n", tag);
    } else if (!strcasecmp(name, "ID")) {
        say(c, "* ID NIL\r\n%s OK ID completed\r\n", tag);
    } else if (!strcasecmp(name, "LOGOUT")) {
        say(c, "* BYE Logging out\r\n%s OK Logout completed\r\n", tag);
        c->closing = 1;
    } else {
        is = 0;
    }
    if (is)
        return;
    /* What a literal may be part of. */
    if (!strcasecmp(name, "LOGIN") || !strcasecmp(name, "AUTHENTICATE"))
        snprintf(c->reply, sizeof c->reply, "%s OK [CAPABILITY " CAPABILITIES "] Logged in\r\n", tag);
    else if (!strcasecmp(name, "APPEND"))
        snprintf(c->reply, sizeof c->reply, "%s OK Append completed\r\n", tag);
    else
        snprintf(c->reply, sizeof c->reply, "%s BAD unknown command\r\n", tag);
    if (!strcasecmp(name, "AUTHENTICATE") && !strchr(arguments, ' ')) {
        c->expected = SASL;
        c->answers = strcasecmp(arguments, "LOGIN") ? 1 : 2;
        say(c, "+ \r\n");
    } else if (!begins_literal(c, line, size)) {
        complete(c);
    }
}

static void take_imap_line(struct connection *c, char *line, size_t size)
{
    switch (c->expected) {
    case COMMAND:
        take_command(c, line, size);
        break;
    case REST:
        if (!begins_literal(c, line, size))
            complete(c);
        break;
    case SASL:
        if (--c->answers)
            say(c, "+ \r\n");
        else
            complete(c);
        break;
    case DONE:
        complete(c);
        break;
    }
}

static void take_pop3_line(struct connection *c, char *line)
{
    char name[16] = "";
    int used = 0;
    sscanf(line, "%15s %n", name, &used);
    const char *argument = line + used;
    if (c->expected == SASL) {
        c->expected = COMMAND;
        say(c, "+OK Logged in.\r\n");
    } else if (!strcasecmp(name, "NOOP") || !strcasecmp(name, "USER")) {
        say(c, "+OK\r\n");
    } else if (!strcasecmp(name, "PASS")) {
        say(c, "+OK Logged in.\r\n");
    } else if (!strcasecmp(name, "AUTH") && !strchr(argument, ' ')) {
        c->expected = SASL;
        say(c, "+ \r\n");
    } else if (!strcasecmp(name, "AUTH")) {
        say(c, "+OK Logged in.\r\n");
    } else if (!strcasecmp(name, "CAPA")) {
        say(c, "+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nSASL PLAIN\r\n.\r\n");
    } else if (!strcasecmp(name, "RETR")) {
        unsigned long long octets = strtoull(argument, NULL, 10) * 1024;
        say(c, "+OK %llu octets\r\n", octets);
        snprintf(c->after_body, sizeof c->after_body, ".\r\n");
        send_body(c, octets);
    } else if (!strcasecmp(name, "QUIT")) {
        say(c, "+OK Bye\r\n");
        c->closing = 1;
    } else {
        say(c, "-ERR unknown command\r\n");
    }
}

/* Do what one line of the input asks for, if there is a whole one. */
static int take_line(struct connection *c)
{
    if (!octets_size(&c->in))
        return 0;
    if (c->swallow) {
        size_t size = octets_size(&c->in) < c->swallow ? octets_size(&c->in) : c->swallow;
        octets_drop(&c->in, size);
        c->swallow -= size;
        return 1;
    }
    char *line = (char *)octets_first(&c->in);
    char *end = memchr(line, '\n', octets_size(&c->in));
    if (!end)
        return 0;
    octets_drop(&c->in, end + 1 - line);
    if (end > line && end[-1] == '\r')
        end--;
    *end = 0;
    if (c->kind == IMAP)
        take_imap_line(c, line, end - line);
    else
        take_pop3_line(c, line);
    return 1;
}

static void serve(struct connection *c)
{
    for (int has_read = 0;;) {
        int sent = flush(c);
        if (sent < 0 || (sent && c->closing)) {
            drop(c);
            return;
        }
        watch(c, sent ? EPOLLIN : EPOLLOUT);
        if (!sent)
            return;
        if (take_line(c))
            continue;
        if (has_read)
            return;
        has_read = 1;
        int is_waste = c->swallow > sizeof waste;
        void *room = is_waste ? (void *)waste : octets_room(&c->in, 1024);
        ssize_t size = recv(c->fd, room, is_waste ? sizeof waste : 1024, 0);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0 || octets_size(&c->in) > LINE_LIMIT) {
            drop(c);
            return;
        }
        if (is_waste)
            c->swallow -= size;
        else
            octets_wrote(&c->in, size);
    }
}

static struct connection *add(int fd, enum kind kind)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    c->fd = fd;
    c->kind = kind;
    c->events = EPOLLIN;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
    return c;
}

static void listen_on(int port, enum kind kind)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096))
        die("listen");
    add(fd, kind);
}

static void accept_some(const struct connection *listener)
{
    for (int i = 0; i < 64; i++) {
        int one = 1, fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = add(fd, listener->kind == IMAP_LISTENER ? IMAP : POP3);
        if (c->kind == IMAP)
            say(c, "* OK [CAPABILITY " CAPABILITIES "] ready\r\n");
        else
            say(c, "+OK ready\r\n");
        serve(c);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: stub IMAP_PORT POP3_PORT\n");
        return 2;
    }
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    static const char line[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = line[i % 64];
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        die("epoll_create1");
    listen_on(atoi(argv[1]), IMAP_LISTENER);
    listen_on(atoi(argv[2]), POP3_LISTENER);
    printf("LISTENING\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[512];
        int count = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->kind == IMAP_LISTENER || c->kind == POP3_LISTENER)
                accept_some(c);
            else
                serve(c);
        }
    }
}
