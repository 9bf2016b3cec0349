import Diagnostics
import Platform
import SCSIControllerDriverKit
import TestTraits
import Testing

@Suite("Words of a driver", .blocks)
struct DriverWordsTests {
    private static let evil = "it\u{1B}[31m\u{202E}\nready: nbd://evil"

    private static func isShown(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { ForeignText.isFit($0) || $0 == "\n" } && !text.contains("\nready")
    }

    @Test("a fault's report has none that acts on a terminal or begins a line")
    func diagnosis() {
        let diagnosis = Diagnosis(.slotMisuse, Self.evil, picture: [Self.evil])
        #expect(Self.isShown(diagnosis.report) && Self.isShown(diagnosis.summary))
        #expect(diagnosis.detail.contains("\\u{1b}[31m") && diagnosis.picture[0].contains("\\u{a}ready"))
    }

    @Test("nor has the reason for which a driver did not start")
    func start() throws {
        let message = ControlMessage(payload: Array("Start\u{1B}\n\(Self.evil)".utf8), status: kIOReturnError)
        let error = try #require(DriverStartError(message))
        #expect(Self.isShown("\(error)") && error.call == "Start\\u{1b}")
    }

    @Test("and long ones are cut")
    func long() {
        let text = String(repeating: "\u{1B}", count: 1 << 16)
        #expect(Diagnosis(.slotMisuse, text).detail.utf8.count < 10_000)
        #expect(ForeignText.lines(bytes: Array(repeating: 10, count: 1 << 16), countMax: 200).count == 200)
    }
}
