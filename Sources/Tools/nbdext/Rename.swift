import ArgumentParser
import ArrayStore
import Control
import Platform

struct Rename: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Renames an array that is not being served.",
        discussion: """
            The name is stored on the members, and the array's export has the same name. Nothing else changes. To \
            rename only the export, use serve --name.

            EXAMPLE
              nbdext rename disks photos
            """)

    @Argument(help: "The array's directory.")
    var directory: String
    @Argument(help: "The new name, or HOST:NAME as in md.")
    var name: String

    func run() throws {
        try ArrayStore.rename(directory: directory, to: name)
        show(ForeignText("the array in \(directory) is named \(name)").description)
    }
}
