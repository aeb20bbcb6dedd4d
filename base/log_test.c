/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/test.h"

/* stderr as a file in memory, for one test. */
struct capture {
    int saved, fd;
    char *text;
};

static void capture_open(struct capture *capture)
{
    capture->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    capture->fd = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(capture->saved >= 0 && capture->fd >= 0);
    assert_true(dup2(capture->fd, STDERR_FILENO) >= 0);
}

/* What was written since the last call. */
static const char *capture_read(struct capture *capture)
{
    off_t size = lseek(capture->fd, 0, SEEK_CUR);

    free(capture->text);
    capture->text = calloc(1, (size_t)size + 1);
    assert_non_null(capture->text);
    assert_int_equal(pread(capture->fd, capture->text, (size_t)size, 0), size);
    assert_int_equal(ftruncate(capture->fd, 0), 0);
    lseek(capture->fd, 0, SEEK_SET);
    return capture->text;
}

static void capture_close(struct capture *capture)
{
    dup2(capture->saved, STDERR_FILENO);
    close(capture->saved);
    close(capture->fd);
    free(capture->text);
    jmp_log_set_tap(NULL, NULL);
}

static json_t *parse_line(const char *line)
{
    json_error_t error;
    json_t *json;

    assert_int_equal(strcspn(line, "\n") + 1, strlen(line));
    json = json_loads(line, 0, &error);
    if (!json)
        fail_msg("%s in: %s", error.text, line);
    return json;
}

static const char *member(json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text ? text : "(none)";
}

JMP_TEST(a_json_line_has_the_stock_keys)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    json_t *json;

    capture_open(&capture);
    unsetenv("NAMESPACE");
    setenv("POD_NAMESPACE", "lab", 1);
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JSON);
    jmp_log(JMP_LOG_WARNING,
            FIELDS(.source = JMP_LOG_DRIVER, .error = -ENODEV, .exporter = "bench3", .lease = "l1", .client = "me",
                   .driver = "board.power", .driver_type = "power", .operation = "on", .result = "failure",
                   .error_type = "device_error", .endpoint = "a:1", .peer = "b:2"),
            "cannot: %m");
    json = parse_line(capture_read(&capture));

    assert_string_equal(member(json, "level"), "WARNING");
    assert_string_equal(member(json, "msg"), "cannot: No such device");
    assert_string_equal(member(json, "logger"), "driver");
    assert_string_equal(member(json, "component"), "exporter");
    assert_string_equal(member(json, "namespace"), "lab");
    assert_string_equal(member(json, "exporter"), "bench3");
    assert_string_equal(member(json, "lease_id"), "l1");
    assert_string_equal(member(json, "client"), "me");
    assert_string_equal(member(json, "driver"), "board.power");
    assert_string_equal(member(json, "driver_type"), "power");
    assert_string_equal(member(json, "operation"), "on");
    assert_string_equal(member(json, "result"), "failure");
    assert_string_equal(member(json, "error_type"), "device_error");
    assert_string_equal(member(json, "endpoint"), "a:1");
    assert_string_equal(member(json, "peer"), "b:2");
    assert_string_equal(member(json, "error"), "No such device");
    assert_int_equal(strlen(member(json, "ts")), strlen("2026-01-01T00:00:00.000000Z"));
    json_decref(json);

    jmp_log(JMP_LOG_INFO, NULL, "plain");
    json = parse_line(capture_read(&capture));
    assert_string_equal(member(json, "exporter"), "(none)");
    assert_string_equal(member(json, "error"), "(none)");
    assert_string_equal(member(json, "logger"), "system");
    json_decref(json);
    unsetenv("POD_NAMESPACE");
}

JMP_TEST(every_line_says_whose_it_is)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    json_t *json;

    capture_open(&capture);
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JSON);
    jmp_log_set_scope("bench3", "l1", "me");
    jmp_log(JMP_LOG_INFO, FIELDS(.driver = "board.power", .client = "you"), "on");
    json = parse_line(capture_read(&capture));
    assert_string_equal(member(json, "exporter"), "bench3");
    assert_string_equal(member(json, "lease_id"), "l1");
    assert_string_equal(member(json, "client"), "you");
    json_decref(json);

    jmp_log_set_scope("bench3", NULL, NULL);
    jmp_log(JMP_LOG_INFO, NULL, "free");
    json = parse_line(capture_read(&capture));
    assert_string_equal(member(json, "exporter"), "bench3");
    assert_string_equal(member(json, "lease_id"), "(none)");
    json_decref(json);

    /* On a terminal it would be noise. */
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_TEXT);
    jmp_log(JMP_LOG_INFO, NULL, "for people");
    assert_null(strstr(capture_read(&capture), "bench3"));
    jmp_log_set_scope(NULL, NULL, NULL);
}

JMP_TEST(whatever_is_logged_a_json_line_stays_one)
{
    static const struct {
        const char *text, *read;
    } cases[] = {
        { "a\"b\\c", "a\"b\\c" },
        { "a\nb\r\nc\n", "a b  c" },
        { "tab\there", "tab\there" },
        { "\033[31mred", "\033[31mred" },
        { "\xff\xc3", "??" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xe2\x80\xae", "\xe2\x80\xae" },
        { "", "" },
        { "\n\n", "" },
    };
    _cleanup_(capture_close) struct capture capture = { 0 };

    capture_open(&capture);
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JSON);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        json_t *json;

        jmp_log(JMP_LOG_INFO, FIELDS(.client = cases[i].text), "%s", cases[i].text);
        json = parse_line(capture_read(&capture));
        assert_string_equal(member(json, "msg"), cases[i].read);
        json_decref(json);
    }
}

JMP_TEST(endless_texts_are_cut_and_the_line_stays_whole)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    static const char *const units[] = { "a", "\001", "\xc3\xa4", "\"", "\xff" };
    static char text[300001];

    capture_open(&capture);
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JSON);
    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        size_t unit = strlen(units[i]);
        json_t *json;

        for (size_t n = 0; n + unit < sizeof(text); n += unit)
            memcpy(text + n, units[i], unit);
        jmp_log(JMP_LOG_INFO,
                FIELDS(.exporter = text, .lease = text, .client = text, .driver = text, .driver_type = text,
                       .operation = text, .result = text, .error_type = text, .endpoint = text, .peer = text),
                "%s", text);
        json = parse_line(capture_read(&capture));
        assert_in_range(strlen(member(json, "msg")), 4000, 4096);
        json_decref(json);
    }
}

JMP_TEST(text_lines_are_safe_for_terminals)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    const char *line;

    capture_open(&capture);
    jmp_log_open("jmp-agent", JMP_LOG_INFO, JMP_LOG_TEXT);
    jmp_log(JMP_LOG_ERROR, FIELDS(.driver = "a b", .client = "x\033[2J"), "say \033[31m%s\xe2\x80\xae", "hi");
    line = capture_read(&capture);
    assert_non_null(strstr(line, "ERROR    say \\x1b[31mhi\xef\xbf\xbd client="));
    assert_non_null(strstr(line, "driver=\"a b\""));
    assert_null(strchr(line, '\033'));
}

/* In a namespace of its own the test is the journal. Return: its socket, or negative: not allowed to do that. */
static int be_the_journal(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || mkdir("/run/systemd", 0755) < 0 ||
        mkdir("/run/systemd/journal", 0755) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return fd;
}

static int log_to_the_journal(void)
{
    static const char *const wanted[] = {
        "MESSAGE=power on: No such device",
        "PRIORITY=4",
        "EXPORTER=bench",
        "LEASE=lease-7",
        "CLIENT=alice",
        "DRIVER=board.power",
        "OPERATION=on",
        "LOGGER=driver",
        "ERROR=No such device",
    };
    int fd = be_the_journal(), found = 0;
    char text[8192];
    ssize_t length;

    if (fd < 0)
        return 77;
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JOURNAL);
    jmp_log(JMP_LOG_WARNING,
            FIELDS(.source = JMP_LOG_DRIVER, .exporter = "bench", .lease = "lease-7", .client = "alice",
                   .driver = "board.power", .operation = "on", .error = -ENODEV),
            "power on");
    length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    if (length < 0)
        return 1;
    text[length] = '\0';
    for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
        for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL)
            found += strncmp(line, wanted[i], strlen(wanted[i])) == 0 && line[strlen(wanted[i])] == '\n';
    return found == (int)ELEMENTSOF(wanted) ? 0 : 2;
}

JMP_TEST(the_journal_gets_fields)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(log_to_the_journal());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();   /* not root, or no namespaces */
    assert_int_equal(WEXITSTATUS(status), 0);
}

JMP_TEST(the_journal_gets_priorities_and_only_its_own_stream_is_it)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    char stream[64];
    struct stat st;

    capture_open(&capture);
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    jmp_log_open("jmp-agent", JMP_LOG_DEBUG, JMP_LOG_AUTO);
    jmp_log(JMP_LOG_DEBUG, NULL, "d");
    jmp_log(JMP_LOG_INFO, NULL, "i");
    jmp_log(JMP_LOG_WARNING, NULL, "w\nx");
    jmp_log(JMP_LOG_ERROR, FIELDS(.lease = "l"), "e");
    jmp_log(JMP_LOG_CRITICAL, NULL, "c");
    assert_string_equal(capture_read(&capture), "<7>d\n<6>i\n<4>w x\n<3>e lease_id=l\n<2>c\n");

    setenv("JOURNAL_STREAM", "1:2", 1);
    jmp_log_open("jmp-agent", JMP_LOG_INFO, JMP_LOG_AUTO);
    jmp_log(JMP_LOG_INFO, NULL, "json");
    json_decref(parse_line(capture_read(&capture)));
    unsetenv("JOURNAL_STREAM");
}

JMP_TEST(levels_have_names_and_a_threshold)
{
    static const struct {
        const char *name;
        int level;   /* -1: no such */
    } cases[] = {
        { "DEBUG", JMP_LOG_DEBUG }, { "info", JMP_LOG_INFO },         { "Warning", JMP_LOG_WARNING },
        { "warn", JMP_LOG_WARNING }, { "ERROR", JMP_LOG_ERROR },      { "critical", JMP_LOG_CRITICAL },
        { "", -1 },                 { "verbose", -1 },                { "INFOS", -1 },
    };
    _cleanup_(capture_close) struct capture capture = { 0 };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        enum jmp_log_level level = JMP_LOG_CRITICAL;

        assert_int_equal(jmp_log_level_parse(cases[i].name, &level), cases[i].level >= 0);
        if (cases[i].level >= 0)
            assert_int_equal(level, cases[i].level);
    }
    assert_string_equal(jmp_log_level_name(JMP_LOG_CRITICAL), "CRITICAL");

    capture_open(&capture);
    jmp_log_open("x", JMP_LOG_WARNING, JMP_LOG_JOURNAL);
    assert_false(jmp_log_enabled(JMP_LOG_INFO));
    assert_true(jmp_log_enabled(JMP_LOG_WARNING));
    jmp_log(JMP_LOG_INFO, NULL, "not seen");
    assert_string_equal(capture_read(&capture), "");
}

JMP_TEST(errno_is_kept_and_m_means_it)
{
    _cleanup_(capture_close) struct capture capture = { 0 };

    capture_open(&capture);
    jmp_log_open("x", JMP_LOG_INFO, JMP_LOG_JOURNAL);
    errno = ENOSPC;
    jmp_log(JMP_LOG_INFO, NULL, "%m");
    assert_int_equal(errno, ENOSPC);
    assert_string_equal(capture_read(&capture), "<6>No space left on device\n");
}

struct seen {
    unsigned count;
    char last[64];
};

static void tap(const struct jmp_log_record *record, void *user)
{
    struct seen *seen = user;

    seen->count++;
    snprintf(seen->last, sizeof(seen->last), "%s/%s/%s", jmp_log_level_name(record->level), record->message,
             record->fields->lease ? record->fields->lease : "-");
    assert_true(record->realtime > UINT64_C(1600000000000000));
}

static void *log_many(void *lease)
{
    for (unsigned i = 0; i < 500; i++)
        jmp_log(JMP_LOG_INFO, FIELDS(.lease = lease), "line %u of many, written by one of several threads", i);
    return NULL;
}

JMP_TEST(threads_do_not_mix_their_lines_and_the_tap_sees_all)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    struct seen seen = { 0 };
    pthread_t threads[4];
    char lease[] = "l2";
    unsigned lines = 0;
    const char *text;

    capture_open(&capture);
    jmp_log_open("x", JMP_LOG_INFO, JMP_LOG_JOURNAL);
    jmp_log_set_tap(tap, &seen);
    jmp_log(JMP_LOG_ERROR, FIELDS(.lease = "l1"), "once\n");
    assert_string_equal(seen.last, "ERROR/once/l1");
    capture_read(&capture);

    for (size_t i = 0; i < ELEMENTSOF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, lease), 0);
    for (size_t i = 0; i < ELEMENTSOF(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    jmp_log_set_tap(NULL, NULL);
    jmp_log(JMP_LOG_INFO, NULL, "untapped");

    assert_int_equal(seen.count, 2001);
    text = capture_read(&capture);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        if (strncmp(line, "<6>untapped", 11) != 0)
            assert_int_equal(strncmp(line, "<6>line ", 8), 0);
        lines++;
    }
    assert_int_equal(lines, 2001);
}

JMP_TEST(each_line_is_one_write)
{
    static char text[4000];
    int pair[2], saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    char line[16384];

    /* A socket that keeps the boundaries of what was written. */
    assert_true(saved >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    memset(text, 'x', sizeof(text) - 1);

    for (enum jmp_log_format format = JMP_LOG_TEXT; format <= JMP_LOG_JOURNAL; format++) {
        ssize_t n;

        assert_true(dup2(pair[1], STDERR_FILENO) >= 0);
        jmp_log_open("x", JMP_LOG_INFO, format);
        jmp_log(JMP_LOG_INFO, FIELDS(.lease = "l", .client = "c"), "%s", text);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);

        n = read(pair[0], line, sizeof(line));
        assert_true(n > 4000);
        assert_int_equal(line[n - 1], '\n');
        assert_null(memchr(line, '\n', (size_t)n - 1));
        assert_true(read(pair[0], line, sizeof(line)) < 0);
    }
    close(pair[0]);
    close(pair[1]);
    close(saved);
}

JMP_TEST(logging_needs_no_memory)
{
    _cleanup_(capture_close) struct capture capture = { 0 };

    capture_open(&capture);
    jmp_log_open("x", JMP_LOG_INFO, JMP_LOG_JOURNAL);
    jmp_fault_arm(JMP_FAULT_ALLOC, 1);
    jmp_log(JMP_LOG_INFO, FIELDS(.lease = "l"), "still %s", "here");
    jmp_fault_disarm();
    assert_string_equal(capture_read(&capture), "<6>still here lease_id=l\n");
}

static void said(const char *text) { jmp_log(JMP_LOG_INFO, FIELDS(.source = JMP_LOG_DRIVER), "%s", text); }

static void *log_from_a_thread(void *user)
{
    jmp_log(JMP_LOG_INFO, FIELDS(.source = JMP_LOG_DRIVER), "from a thread");
    return NULL;
}

JMP_TEST(gathered_lines_are_written_in_order_and_at_the_latest_when_they_must_be)
{
    _cleanup_(capture_close) struct capture capture = { 0 };
    pthread_t thread;
    unsigned n = 0;

    capture_open(&capture);
    jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JOURNAL);
    jmp_log_gather(true);
    assert_false(jmp_log_is_gathered());
    said("one");
    said("two");
    assert_true(jmp_log_is_gathered());
    assert_string_equal(capture_read(&capture), "");
    jmp_log_flush();
    assert_false(jmp_log_is_gathered());
    assert_string_equal(capture_read(&capture), "<6>one\n<6>two\n");

    /* What matters waits for nothing, nor does what is not a driver's or another thread's. */
    said("three");
    jmp_log(JMP_LOG_WARNING, FIELDS(.source = JMP_LOG_DRIVER), "four");
    assert_string_equal(capture_read(&capture), "<6>three\n<4>four\n");
    said("three");
    jmp_log(JMP_LOG_INFO, NULL, "listening");
    assert_string_equal(capture_read(&capture), "<6>three\n<6>listening\n");
    said("five");
    assert_int_equal(pthread_create(&thread, NULL, log_from_a_thread, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(capture_read(&capture), "<6>five\n<6>from a thread\n");

    /* Nor are many of them kept. */
    for (said("again"); jmp_log_is_gathered() && n < 10000; n++)
        said("again");
    assert_in_range(n, 10, 9999);
    assert_int_equal(strlen(capture_read(&capture)), (n + 1) * strlen("<6>again\n"));

    said("six");
    jmp_log_gather(false);
    assert_string_equal(capture_read(&capture), "<6>six\n");
    said("seven");
    assert_string_equal(capture_read(&capture), "<6>seven\n");
}

JMP_TEST(the_last_words_before_a_crash_are_written)
{
    static const int signals[] = { SIGSEGV, SIGABRT };

    for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
        _cleanup_(capture_close) struct capture capture = { 0 };
        int status = 0;
        pid_t child;

        capture_open(&capture);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(signals[i], SIG_DFL);   /* not the test's own handler */
            jmp_log_open("exporter", JMP_LOG_INFO, JMP_LOG_JOURNAL);
            jmp_log_gather(true);
            said("about to fail");
            raise(signals[i]);
            raise(signals[i]);   /* a fault would happen again by itself */
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i]);
        assert_string_equal(capture_read(&capture), "<6>about to fail\n");
    }
}

JMP_TEST(ten_lines_a_second_may_be_said_of_what_peers_cause)
{
    struct jmp_log_rate rate;
    uint64_t first;
    unsigned said_of;

    /* Again when the second ends in the middle. */
    do {
        rate = (struct jmp_log_rate){ 0 };
        said_of = jmp_log_may(&rate);
        first = rate.second;
        for (int i = 0; i < 100; i++)
            said_of += jmp_log_may(&rate);
    } while (rate.second != first);
    assert_int_equal(said_of, 10);

    rate.second--;   /* a second later */
    assert_true(jmp_log_may(&rate));
}
