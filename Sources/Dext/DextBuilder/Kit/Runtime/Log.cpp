// Log lines and reports.

#include "Runtime.h"

#include <DriverKit/IOLib.h>
#include <execinfo.h>
#include <stdio.h>

using namespace nbdext;

namespace {

/// As on macOS, a longer line is cut.
constexpr size_t lineMax = 1024;

/// A line that is being made.
struct Line {
    char text[lineMax];
    size_t length = 0;

    void add(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        va_list arguments;
        va_start(arguments, format);
        const int count = vsnprintf(text + length, sizeof text - length, format, arguments);
        va_end(arguments);
        if (count > 0) length += static_cast<size_t>(count);
        if (length > sizeof text - 1) length = sizeof text - 1;
    }

    void write(os_log_type_t type) {
        while (length && text[length - 1] == '\n') --length;
        text[length] = 0;
        host->log(static_cast<nbdext_dext_log>(type), text);
    }
};

/// The arguments that are left. A reference to them can be passed on, unlike a va_list.
struct ArgumentList {
    va_list list;
};

/// One conversion of a format: "%{public}-8.*llx".
struct Conversion {
    char flags[8] = {};
    int width = -1;
    int precision = -1;
    int longs = 0;      ///< 1 for l, z, t and j, 2 for ll and q, -1 for h, -2 for hh
    char letter = 0;
    bool isError = false;

    const char *parse(const char *next, ArgumentList &arguments);
    void print(Line &line, ArgumentList &arguments) const;

private:
    template <class T>
    void printAs(Line &line, const char *length, T value) const;
    void printBytes(Line &line, const void *bytes) const;
};

int number(const char *&next, ArgumentList &arguments) {
    if (*next == '*') {
        ++next;
        return va_arg(arguments.list, int);
    }
    int value = 0;
    while (*next >= '0' && *next <= '9') value = value * 10 + (*next++ - '0');
    return value;
}

const char *Conversion::parse(const char *next, ArgumentList &arguments) {
    if (*next == '{') {
        const char *end = strchr(next, '}');
        if (!end) return next + strlen(next);
        isError = strncmp(next, "{errno", 6) == 0 || strncmp(next, "{darwin.errno", 13) == 0;
        next = end + 1;
    }
    for (size_t count = 0; *next && strchr("-+ #0'", *next); ++next) {
        if (count + 1 < sizeof flags) flags[count++] = *next;
    }
    if (*next == '*' || (*next >= '1' && *next <= '9')) width = number(next, arguments);
    if (*next == '.') precision = number(++next, arguments);
    for (; *next && strchr("hlqzjt", *next); ++next) {
        if (*next == 'h') --longs;
        else longs += *next == 'q' ? 2 : 1;
    }
    letter = *next;
    return *next ? next + 1 : next;
}

template <class T>
void Conversion::printAs(Line &line, const char *length, T value) const {
    char format[32];
    snprintf(format, sizeof format, "%%%s*.*%s%c", flags, length, letter);
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
    line.add(format, width < 0 ? 0 : width, precision, value);
#pragma clang diagnostic pop
}

void Conversion::printBytes(Line &line, const void *bytes) const {
    for (int index = 0; bytes && index < precision; ++index) {
        line.add("%s%02x", index ? " " : "", static_cast<const uint8_t *>(bytes)[index]);
    }
}

void Conversion::print(Line &line, ArgumentList &arguments) const {
    switch (letter) {
    case '%': return line.add("%%");
    case 'd': case 'i': {
        const int64_t value = longs > 0 ? va_arg(arguments.list, int64_t) : va_arg(arguments.list, int);
        if (isError) return line.add("[%lld: %s]", value, strerror(static_cast<int>(value)));
        if (longs == -1) return printAs(line, "", static_cast<short>(value));
        if (longs < -1) return printAs(line, "", static_cast<signed char>(value));
        return printAs(line, "ll", value);
    }
    case 'D': case 'U': case 'O': case 'u': case 'x': case 'X': case 'o': {
        uint64_t value = longs > 0 ? va_arg(arguments.list, uint64_t) : va_arg(arguments.list, unsigned);
        if (longs < 0) value &= longs == -1 ? 0xFFFF : 0xFF;
        return printAs(line, "ll", value);
    }
    case 'c': return printAs(line, "", va_arg(arguments.list, int));
    case 's': {
        const char *text = va_arg(arguments.list, const char *);
        return printAs(line, "", text ? text : "(null)");
    }
    case 'p': return line.add("%p", va_arg(arguments.list, void *));
    case 'P': return printBytes(line, va_arg(arguments.list, const void *));
    case 'm': return line.add("%m");
    case 'a': case 'A': case 'e': case 'E': case 'f': case 'F': case 'g': case 'G':
        return printAs(line, "", va_arg(arguments.list, double));
    default: line.add("<nbdext cannot write %%%c>", letter ? letter : '%');
    }
}

}  // namespace

// MARK: os_log

struct os_log_s {
    const char *subsystem;
    const char *category;
};

os_log_t os_log_create(const char *subsystem, const char *category) {
    // A log is for ever, on macOS too.
    return new os_log_s{strdup(subsystem ? subsystem : ""), strdup(category ? category : "")};
}

bool os_log_type_enabled(os_log_t log, os_log_type_t) { return log != OS_LOG_DISABLED; }

void nbdext_os_log(os_log_t log, os_log_type_t type, const char *format, ...) {
    if (log == OS_LOG_DISABLED) return;
    Line line;
    if (log != OS_LOG_DEFAULT) line.add("[%s:%s] ", log->subsystem, log->category);
    ArgumentList arguments;
    va_start(arguments.list, format);
    while (*format) {
        const char *next = strchr(format, '%');
        if (!next) next = format + strlen(format);
        line.add("%.*s", static_cast<int>(next - format), format);
        format = next;
        if (*format != '%') continue;
        Conversion conversion;
        format = conversion.parse(format + 1, arguments);
        conversion.print(line, arguments);
    }
    va_end(arguments.list);
    line.write(type);
}

// MARK: IOLog

int IOLogv(const char *format, va_list arguments) {
    Line line;
    const int count = vsnprintf(line.text, sizeof line.text, format, arguments);
    if (count > 0) line.length = static_cast<size_t>(count) < lineMax ? static_cast<size_t>(count) : lineMax - 1;
    line.write(OS_LOG_TYPE_DEFAULT);
    return count;
}

int IOLog(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int count = IOLogv(format, arguments);
    va_end(arguments);
    return count;
}

void IOLogBuffer(const char *title, const void *buffer, size_t size) {
    IOLog("%s: %zu bytes", title, size);
    const auto bytes = static_cast<const uint8_t *>(buffer);
    for (size_t offset = 0; offset < size; offset += 16) {
        Line line;
        line.add("%08zx:", offset);
        for (size_t index = offset; index < offset + 16 && index < size; ++index) line.add(" %02x", bytes[index]);
        line.write(OS_LOG_TYPE_DEFAULT);
    }
}

void OSReportWithBacktrace(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    IOLogv(format, arguments);
    va_end(arguments);
    void *addresses[32];
    const int count = backtrace(addresses, 32);
    char **names = backtrace_symbols(addresses, count);
    for (int index = 1; names && index < count; ++index) IOLog("  %s", names[index]);
    free(names);
}

// MARK: Reports

void nbdext::report(nbdext_dext_fault fault, const char *format, ...) {
    char text[lineMax];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    host->fault(fault, text);
}

kern_return_t nbdext::unsupported(const char *call) {
    report(
        NBDEXT_FAULT_UNSUPPORTED, "%s was called; nbdext does not have it, and it returned kIOReturnUnsupported", call);
    return kIOReturnUnsupported;
}
