import ArgumentParser
import Control
import HBAProfiles
import StackModel

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what each layer of the stack does with one request on the raw device.",
        usage: "nbdext explain --size <size> [<options>]",
        discussion: """
            Nothing is read or written: the answer is computed from the profile, by the same rules that serve requests. \
            It names the request's stages, their commands, the checks before the driver, and what to change if the \
            request fails. Exits with 0 when the request succeeds, and with 2 when it fails.

            EXAMPLES
              nbdext explain --profile dext-512k-incomplete --size 768K --write
              nbdext explain --profile kext-512k --size 10M --offset 1G
            """)

    @Option(help: ProfileHelp.text)
    var profile = "default"
    @Option(
        help: "The request's size: 512, 768K, 10M; at most 4G. \(ByteSize.help)",
        transform: ByteSize.init(parsing:))
    var size: ByteSize
    @Option(help: "The request's offset: 0, 4K, 1G.", transform: ByteSize.init(parsing:))
    var offset = ByteSize(byteCount: 0)
    @Flag(help: "Explain a write instead of a read.")
    var write = false
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let explanation = try RequestExplanation(
            profile: HBAProfile(nameOrPath: profile), byteOffset: offset.byteCount, byteCount: size.byteCount,
            isWrite: write)
        show(json ? try JSONText.page(explanation) : explanation.text, terminator: "")
        if explanation.outcome.kind != .success { throw ExitCode(Self.failureCode) }
    }

    /// The exit code when the request would fail.
    private static let failureCode: Int32 = 2
}

/// The help of options that take a profile.
enum ProfileHelp {
    static let text: ArgumentHelp = """
        What the driver reports of its HBA: a shipped profile (\(HBAProfile.shippedNames.joined(separator: ", "))) or a \
        JSON file.
        """
}
