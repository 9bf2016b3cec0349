import ArgumentParser
import Control
import HBAProfiles
import StackModel

struct Ioreg: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the registry of the stack that a profile makes, or what differs between two.",
        usage: "nbdext ioreg [<options>]",
        discussion: """
            The tree is what IORegistryExplorer shows on macOS: which limits took effect, and which object has them. \
            Limits that the driver reports and macOS ignores are listed below it.

            EXAMPLES
              nbdext ioreg --profile dext-complete
              nbdext ioreg --profile kext-512k --diff dext-complete
            """)

    @Option(help: ProfileHelp.text)
    var profile = "default"
    @Option(help: "Show what differs in this profile's tree.")
    var diff: String?
    @Option(help: "How many logical units the target has, as with serve --luns: 1 to 62.")
    var luns = 1
    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (1...62).contains(luns) else { throw ValidationError("a target has 1 to 62 logical units, not \(luns)") }
    }

    func run() throws {
        let tree = RegistryTree(profile: try HBAProfile(nameOrPath: profile), logicalUnitCount: luns)
        if let diff {
            let difference = tree.diff(
                RegistryTree(profile: try HBAProfile(nameOrPath: diff), logicalUnitCount: luns))
            show(json ? try JSONText.page(difference) : difference.text, terminator: "")
        } else {
            show(json ? try JSONText.page(tree) : tree.text, terminator: "")
        }
    }
}
