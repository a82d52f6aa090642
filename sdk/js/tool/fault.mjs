// What an author has to change, told apart from what is wrong with the tools.

/** Its message names the author's file, line or symbol. */
export class AuthorFault extends Error {}
