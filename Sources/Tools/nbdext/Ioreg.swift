import ArgumentParser
import Control
import HBAProfiles
import Platform
import StackModel

struct Ioreg: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the registry of a server or of a profile's stack, or the differences between two profiles.",
        usage: "nbdext ioreg [<directory>] [<options>]",
        discussion: """
            The tree is what IORegistryExplorer shows on macOS: the limits in effect, and the object that has each. \
            Limits that the driver reports but macOS ignores are listed below it.

            With the directory of a running server's array, or with its control socket, the tree is the server's: with \
            its targets, the properties that its driver has set (UserSetHBAProperties, UserSetTargetProperties, \
            SetProperties), and the services that its driver has made.

            EXAMPLES
              nbdext ioreg --profile dext-complete
              nbdext ioreg --profile kext-512k --diff dext-complete
            """)

    @Argument(help: "The directory of one of a running server's arrays.")
    var directory: String?
    @Option(help: "A running server's control socket.")
    var control: String?
    @Option(help: ProfileHelp.text)
    var profile = "default"
    @Option(help: "Show the differences from this profile's tree.")
    var diff: String?
    @Option(help: "The target's number of logical units, as with serve --luns: 1 to 62.")
    var luns = 1
    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard directory == nil && control == nil || diff == nil else {
            throw ValidationError("--diff compares two profiles; leave it out for a running server")
        }
        guard (1...62).contains(luns) else { throw ValidationError("a target has 1 to 62 logical units, not \(luns)") }
    }

    func run() throws {
        if control != nil || directory != nil {
            let client = ControlClient(path: control ?? ControlServer.defaultPath(directory: directory!))
            let tree = try client.registry()
            return show(json ? try JSONText.page(tree) : ForeignText.lines(tree.text), terminator: "")
        }
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
