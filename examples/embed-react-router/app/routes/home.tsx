import { Link } from "react-router";

export const meta = () => [{ title: "Kitchen" }, { name: "description", content: "Recipes for those who have an hour." }];

export default function Home() {
  return (
    <>
      <h1>Kitchen</h1>
      <p>Start with <Link to="/bread">bread</Link>.</p>
    </>
  );
}
