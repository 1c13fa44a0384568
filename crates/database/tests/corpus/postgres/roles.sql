-- What all databases share; a dump of a database does not hold it.
CREATE ROLE corpus_owner;
CREATE ROLE corpus_reader;
CREATE ROLE "corpus ""clerk""";
