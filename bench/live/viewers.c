/* A crowd of WebSocket clients that is not the bottleneck: one thread, epoll, nothing is decoded.

   viewers PORT PATH SOCKETS

   Opens the sockets, prints "open", and then does what lines on standard input say: "begin" starts counting, "end" prints one
   JSON object and ends. Counted are frames with changes: a change is what has a "timestamp", and its latency is from that
   moment (whole milliseconds, so that a latency may be up to 1 ms too long, never too short) to its reading here. With it the
   fewest and most changes that a socket has received, sockets that were closed, and the CPU seconds of this process. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, AT_ONCE = 64, BUCKETS = 100000 }; /* buckets of 0.1 ms */

struct viewer {
    int socket, is_open;
    long received;        /* changes */
    size_t used;       /* bytes in kept[]: a frame that is not complete */
    size_t size;
    unsigned char *kept;
};

static struct viewer *viewers;
static int count, opened, connecting, epoll, is_counting, closed;
static long histogram[BUCKETS + 1], frames, changes, bytes;
static double cpu_before;
static struct sockaddr_in server;
static char request[1024];

static void fail(const char *what) {
    fprintf(stderr, "viewers: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void open_next(void) {
    static int next;
    if (next == count) return;
    struct viewer *viewer = &viewers[next++];
    viewer->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (viewer->socket < 0 || connect(viewer->socket, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    int one = 1;
    setsockopt(viewer->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (write(viewer->socket, request, strlen(request)) < 0) fail("write");
    fcntl(viewer->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = viewer};
    epoll_ctl(epoll, EPOLL_CTL_ADD, viewer->socket, &event);
    connecting++;
}

static void gone(struct viewer *viewer) {
    close(viewer->socket);
    viewer->socket = -1;
    closed++;
}

/* "2030-06-01T10:00:00.000Z" in ms */
static double moment(const unsigned char *text) {
    struct tm tm = {0};
    int ms = 0;
    if (sscanf((const char *)text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &ms) != 7) return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return timegm(&tm) * 1e3 + ms;
}

static void receive(struct viewer *viewer, const unsigned char *payload, size_t length) {
    static const char name[] = "\"timestamp\":";
    static unsigned char last[24];
    static double last_moment;
    if (!is_counting) return;
    double now = now_ms();
    const unsigned char *at = payload, *end = payload + length;
    int found = 0;
    while ((at = memmem(at, end - at, name, sizeof name - 1)) && end - at > (long)sizeof name + 26) {
        at += sizeof name - 1;
        while (*at == ' ' || *at == '"') at++;
        if (memcmp(at, last, sizeof last)) { /* the same for all sockets */
            memcpy(last, at, sizeof last);
            last_moment = moment(at);
        }
        long bucket = (now - last_moment) * 10;
        histogram[bucket < 0 ? 0 : bucket > BUCKETS ? BUCKETS : bucket]++;
        viewer->received++;
        changes++;
        found = 1;
    }
    frames += found;
    bytes += found ? (long)length : 0;
}

static void answer_ping(struct viewer *viewer, const unsigned char *payload, size_t length) {
    unsigned char pong[131] = {0x8a, 0x80 | length}; /* masked with zeros */
    memcpy(pong + 6, payload, length);
    if (write(viewer->socket, pong, 6 + length) < 0 && errno != EAGAIN) gone(viewer);
}

/* Takes the frames that are complete; returns how many bytes they have. */
static size_t take(struct viewer *viewer, const unsigned char *data, size_t length) {
    size_t taken = 0;
    while (length - taken >= 2 && viewer->socket >= 0) {
        const unsigned char *frame = data + taken;
        size_t head = 2, size = frame[1] & 0x7f, here = length - taken;
        if (size == 126) {
            if (here < 4) break;
            head = 4, size = frame[2] << 8 | frame[3];
        } else if (size == 127) {
            if (here < 10) break;
            head = 10, size = 0;
            for (int i = 2; i < 10; i++) size = size << 8 | frame[i];
        }
        if (here < head + size) break;
        int kind = frame[0] & 0x0f;
        if (kind <= 2) receive(viewer, frame + head, size);
        else if (kind == 9 && size < 126) answer_ping(viewer, frame + head, size);
        else if (kind == 8) gone(viewer);
        taken += head + size;
    }
    return taken;
}

static void keep(struct viewer *viewer, const unsigned char *data, size_t length) {
    if (length > viewer->size) viewer->kept = realloc(viewer->kept, viewer->size = length);
    memmove(viewer->kept, data, length);
    viewer->used = length;
}

static void take_in(struct viewer *viewer) {
    static unsigned char buffer[2 * BUFFER + 1];
    memcpy(buffer, viewer->kept, viewer->used);
    if (viewer->used > BUFFER) fail("a frame that is too long");
    ssize_t got = read(viewer->socket, buffer + viewer->used, BUFFER);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        gone(viewer);
        return;
    }
    size_t length = viewer->used + got, from = 0;
    viewer->used = 0;
    if (!viewer->is_open) {
        buffer[length] = 0;
        char *end = strstr((char *)buffer, "\r\n\r\n");
        if (end == NULL) {
            keep(viewer, buffer, length);
            return;
        }
        if (strncmp((char *)buffer, "HTTP/1.1 101", 12)) {
            fprintf(stderr, "viewers: refused: %.200s\n", buffer);
            exit(1);
        }
        viewer->is_open = 1;
        from = (unsigned char *)end + 4 - buffer;
        opened++, connecting--;
    }
    from += take(viewer, buffer + from, length - from);
    if (viewer->socket >= 0 && from < length) keep(viewer, buffer + from, length - from);
}

static double percentile(double part) {
    long seen = 0, wanted = changes * part;
    for (int bucket = 0; bucket <= BUCKETS; bucket++)
        if ((seen += histogram[bucket]) > wanted) return bucket / 10.0;
    return BUCKETS / 10.0;
}

static void report(void) {
    long fewest = viewers[0].received, most = fewest, slowest = 0;
    for (int i = 0; i < count; i++) {
        if (viewers[i].received < fewest) fewest = viewers[i].received;
        if (viewers[i].received > most) most = viewers[i].received;
    }
    for (int bucket = 0; bucket <= BUCKETS; bucket++)
        if (histogram[bucket]) slowest = bucket;
    printf("{\"frames\":%ld,\"changes\":%ld,\"bytes\":%ld,\"fewest\":%ld,\"most\":%ld,\"closed\":%d,\"p50\":%.1f,"
           "\"p99\":%.1f,\"slowest\":%.1f,\"cpu\":%.3f}\n", frames, changes, bytes, fewest, most, closed, percentile(.5),
           percentile(.99), slowest / 10.0, cpu() - cpu_before);
    fflush(stdout);
}

static void obey(void) {
    char line[64];
    if (fgets(line, sizeof line, stdin) == NULL) exit(0);
    if (!strncmp(line, "begin", 5)) {
        is_counting = 1;
        cpu_before = cpu();
    } else {
        report();
        exit(0);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: viewers PORT PATH SOCKETS\n"), 2;
    count = atoi(argv[3]);
    viewers = calloc(count, sizeof *viewers);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Origin: http://localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", argv[2]);
    epoll = epoll_create1(0);
    setvbuf(stdin, NULL, _IONBF, 0);
    struct epoll_event events[AT_ONCE], commands = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &commands);
    while (connecting < AT_ONCE && opened + connecting < count) open_next();
    int reported = 0;
    for (;;) {
        int ready = epoll_wait(epoll, events, AT_ONCE, -1);
        for (int i = 0; i < ready; i++) {
            struct viewer *viewer = events[i].data.ptr;
            if (viewer == NULL) obey();
            else if (viewer->socket >= 0) take_in(viewer);
        }
        while (connecting < AT_ONCE && opened + connecting < count) open_next();
        if (!reported && opened == count) reported = puts("open") >= 0, fflush(stdout);
    }
}
