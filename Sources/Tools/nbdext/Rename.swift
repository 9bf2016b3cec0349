import ArgumentParser
import ArrayStore
import Control
import Platform

struct Rename: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Gives an array that is not being served another name.",
        discussion: """
            The name is kept on the members, and is that of the array's export. Nothing else changes. To give the export \
            another name and leave the members alone, say serve --name.

            EXAMPLE
              nbdext rename disks photos
            """)

    @Argument(help: "The array's directory.")
    var directory: String
    @Argument(help: "The new name, or HOST:NAME as md has it.")
    var name: String

    func run() throws {
        try ArrayStore.rename(directory: directory, to: name)
        show(ForeignText("the array in \(directory) is named \(name)").description)
    }
}
