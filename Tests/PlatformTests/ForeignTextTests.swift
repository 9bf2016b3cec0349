import Platform
import TestTraits
import Testing

@Suite("Text that others wrote", .blocks)
struct ForeignTextTests {
    @Test(
        "is shown on one line, without what a terminal or a reader takes for something else",
        arguments: [
            ("disk 1", "disk 1"), ("größe 漢字 😀", "größe 漢字 😀"), ("a\\b\"c", "a\\b\"c"),
            ("\u{1B}[31m", "\\u{1b}[31m"), ("a\nready: nbd://evil", "a\\u{a}ready: nbd://evil"),
            ("a\rb\tc\u{8}", "a\\u{d}b\\u{9}c\\u{8}"), ("\u{9B}2J\u{7F}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("img\u{202E}gpj.", "img\\u{202e}gpj."), ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"),
            ("a\u{200B}\u{FEFF}b", "a\\u{200b}\\u{feff}b"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d"),
            ("\u{E0041}", "\\u{e0041}"),
        ])
    func line(text: String, shown: String) {
        #expect(ForeignText(text).description == shown)
        #expect("\(ForeignText(bytes: Array(text.utf8)))" == shown)
        // Once is enough, and twice changes nothing.
        #expect(ForeignText(shown).description == shown)
    }

    @Test("that is no UTF-8 is shown as far as it is")
    func invalid() {
        #expect(ForeignText(bytes: [0x61, 0xFF, 0x62]).description == "a\u{FFFD}b")
        #expect(ForeignText(bytes: [0x1B, 0xC3]).description == "\\u{1b}\u{FFFD}")
    }

    @Test("is bounded, also when it grows by being shown", arguments: ["x", "\u{1B}", "é", "\u{E0041}"])
    func bounded(text: String) {
        let long = String(repeating: text, count: 1 << 16)
        for limit in [10, 100, ForeignText.byteCountMax] {
            let shown = ForeignText(long, byteCountMax: limit).description
            #expect(shown.utf8.count <= limit + 3 && shown.hasSuffix("..."))
            #expect(ForeignText(bytes: Array(long.utf8), byteCountMax: limit).description == shown)
        }
        #expect(ForeignText("0123456789", byteCountMax: 10).description == "0123456789")
    }

    @Test("of several lines keeps their ends alone")
    func lines() {
        #expect(ForeignText.lines("a\nb\u{1B}[0m\r\n") == "a\nb\\u{1b}[0m\\u{d}\n")
        let many = ForeignText.lines(bytes: Array(String(repeating: "\u{1B}x\n", count: 1000).utf8), countMax: 7)
        #expect(many == Array(repeating: "\\u{1b}x", count: 7))
    }

    @Test("in a JSON text stays JSON")
    func json() {
        #expect(
            ForeignText.json("{\n \"a\": \"\u{7F}\u{202E}\u{E0041}é\"\n}")
                == "{\n \"a\": \"\\u007f\\u202e\\udb40\\udc41é\"\n}")
    }
}
